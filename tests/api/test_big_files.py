"""Files against a server process: memory while large ones stream, and clients that break off."""

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qb.client import ClientError, QbClient
from qb.contract.nodes import Register
from qb.contract.tasks import Task, TaskCreate
from tests.bench.processes import family, pss_kib
from tests.fixtures_server import Server

SIZE = 300 << 20
GROWTH = 30 << 20


def memory(server: Server) -> dict[int, int]:
    """Bytes of memory of the server's processes now (proportional set size), by process id."""
    assert server.process is not None
    return {pid: pss_kib(pid) << 10 for pid in family(server.process.pid)}


def growth_during(server: Server, work: Callable[[], None]) -> int:
    """The most by which any of the server's processes grew while `work` was done, in bytes."""
    before, grown = memory(server), 0
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        while not done.done():
            now = memory(server)
            grown = max(grown, *(now[pid] - before.get(pid, now[pid]) for pid in now))
            time.sleep(0.005)
        done.result()
    return grown


def stored(server: Server) -> list[Path]:
    return [path for path in (server.data_dir / "blobs").rglob("*") if path.is_file()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def join(server: Server, name: str) -> QbClient:
    with server.joining() as joining:
        return server.client(joining.register(Register(hostname=name, wire=2)).api_key)


def break_off(server: Server, head: str, key: str, body: bytes) -> None:
    """Begin a request, send part of its body, and hang up once the server has begun to write it down."""
    request = f"{head}\r\nHost: test\r\nX-API-Key: {key}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request + body)
        until(lambda: bool(stored(server)))
    until(lambda: stored(server) == [])


def test_a_large_file_streams_up_and_down_without_filling_the_memory(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    block = os.urandom(1 << 20)
    with path.open("wb") as large:
        for _ in range(SIZE >> 20):
            large.write(block)
    with server.client() as operator, join(server, "box") as node:
        warm = tmp_path / "small.bin"
        warm.write_bytes(bytes(1 << 20))
        operator.upload(warm)
        uploads = []
        assert growth_during(server, lambda: uploads.append(operator.upload(path))) < GROWTH
        operator.create_task(TaskCreate(prompt="go", files=[uploads[0].filename]))
        assignment = node.poll()
        assert assignment is not None
        assert assignment.file_checksums == [uploads[0].checksum]

        def fetch() -> None:
            with node.download_file("large.bin") as (chunks, checksum):
                assert sum(map(len, chunks)) == SIZE
                assert checksum == uploads[0].checksum

        assert growth_during(server, fetch) < GROWTH


def test_an_upload_that_breaks_off_is_not_taken_for_a_whole_file(server: Server) -> None:
    part = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + b"x" * 300_000
    for length in (f"Content-Length: {len(part) + 1000}", "Transfer-Encoding: chunked"):
        head = f"POST /upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=B\r\n{length}"
        body = part if "Content-Length" in length else b"%x\r\n%b\r\n" % (len(part), part)
        break_off(server, head, server.admin_key, body)


def test_an_artifact_that_breaks_off_is_not_taken_for_a_whole_file(server: Server) -> None:
    with server.client() as operator, server.joining() as joining:
        key = joining.register(Register(hostname="box", wire=2)).api_key
        task = operator.create_task(TaskCreate(prompt="go"))
        with server.client(key) as node:
            assert node.poll() is not None
        body = b"x" * 300_000
        for length in ("Content-Length: 400000", "Transfer-Encoding: chunked"):
            head = f"PUT /tasks/{task.id}/artifacts/a HTTP/1.1\r\n{length}"
            break_off(server, head, key, body if "Content" in length else b"%x\r\n%b\r\n" % (len(body), body))
        assert operator.artifacts(task.id) == []


def test_a_client_that_hangs_up_during_a_download_leaves_the_server_in_order(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(8 << 20))
    with server.client() as operator, join(server, "box") as node:
        operator.create_task(TaskCreate(prompt="go", files=[operator.upload(path).filename]))
        assert node.poll() is not None
        for _ in range(5):
            with node.download_file("large.bin") as (chunks, _checksum):
                next(chunks)
        with node.download_file("large.bin") as (chunks, _checksum):
            assert sum(map(len, chunks)) == 8 << 20
        assert server.process is not None
        opened = [Path(f"/proc/{pid}/fd") for pid in family(server.process.pid)]

        def closed() -> bool:
            links = [str(link.readlink()) for folder in opened for link in folder.iterdir() if link.is_symlink()]
            return not any("/blobs/" in link for link in links)

        until(closed)
    assert not any(entry.get("level") == "error" for entry in server.log)


def test_a_node_with_two_tasks_gets_the_file_of_the_one_it_names(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    held: list[Task] = []
    with server.client() as operator, server.joining() as joining:
        key = joining.register(Register(hostname="box", wire=2, slots=2)).api_key
        with server.client(key) as node:
            for content in ("first", "second"):
                path.write_text(content)
                task = operator.create_task(TaskCreate(prompt="go", files=[operator.upload(path).filename]))
                assert node.poll(held=",".join(f"{each.id}:1" for each in held)) is not None
                held.append(task)
            found = []
            for task in held:
                with node.download_file("data.csv", task_id=task.id) as (chunks, _checksum):
                    found.append(b"".join(chunks))
    assert found == [b"first", b"second"]


def test_a_file_whose_name_is_not_utf_8_is_refused_with_the_reason(server: Server, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))
    path.write_text("x")
    with server.client() as operator, pytest.raises(ClientError, match="rename it"):
        operator.upload(path)
