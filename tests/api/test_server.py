"""`qb serve` as a process: starting, stopping, crashing, and refusing to start."""

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx2
import pytest

from qb.api.server import listen
from qb.domain.errors import Invalid
from tests.fixtures_server import QB, Server, new_server

PATIENCE = 10.0


def refusal(*arguments: str) -> str:
    """What `qb serve` says when it does not start."""
    done = subprocess.run(
        [str(QB), "serve", *arguments], capture_output=True, text=True, timeout=30, check=False, env=dict(os.environ)
    )
    assert done.returncode not in (0, -9)
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("option", ["--url", "--agent-url"])
@pytest.mark.parametrize("url", ["nonsense", "ftp://qb.example.org", "http://"])
def test_an_address_that_no_node_could_call_is_refused(option: str, url: str, tmp_path: Path) -> None:
    said = refusal("--data-dir", str(tmp_path), option, url)
    assert f"{option}: {url!r} is no http or https URL with a host" in said


def test_it_serves_and_stops_cleanly_on_sigterm(server: Server) -> None:
    health = httpx2.get(f"{server.url}/health").json()
    assert health["status"] == "ok"
    assert set(health["checks"]) == {"database", "writer", "disk", "background"}
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 5
    assert server.log[-1]["event"] == "stopped"
    assert not (server.data_dir / "qb.db-wal").exists()


def test_a_stopping_server_ends_long_polls_and_streams_at_once(server: Server) -> None:
    with server.client() as admin, server.http() as http:
        task = http.post("/tasks", json={"prompt": "wait"}).json()
        node = http.post("/nodes", json={"name": "n", "tags": {"only": "this"}}).json()
        assert admin.drain_node(node["id"]).state == "draining"
    ended: list[float] = []
    streaming = threading.Event()

    def stream() -> None:
        with (
            server.http() as http,
            http.stream("GET", f"/tasks/{task['id']}/events", headers={"Accept": "text/event-stream"}) as answer,
        ):
            for _ in answer.iter_bytes():
                streaming.set()
        ended.append(time.monotonic())

    def poll() -> None:
        with server.http(node["api_key"]) as http:
            http.get("/tasks/pending", params={"wait": "25"})
        ended.append(time.monotonic())

    threads = [threading.Thread(target=work) for work in (stream, poll)]
    for thread in threads:
        thread.start()
    assert streaming.wait(PATIENCE)
    until = time.monotonic() + PATIENCE
    while "qb_pollers_waiting 1.0" not in httpx2.get(f"{server.url}/metrics", timeout=PATIENCE).text:
        assert time.monotonic() < until, "the poll did not come"
        time.sleep(0.02)
    begun = time.monotonic()
    assert server.stop() == 0
    for thread in threads:
        thread.join(PATIENCE)
    assert len(ended) == 2
    assert max(ended) - begun < 3


def test_after_a_crash_it_starts_again_on_the_same_port_with_everything_kept(server: Server) -> None:
    with server.http() as http:
        task = http.post("/tasks", json={"prompt": "survive"}).json()
    server.kill()
    server.start()
    with server.http() as http:
        assert http.get(f"/tasks/{task['id']}").json()["prompt"] == "survive"


def test_a_second_server_on_the_same_directory_is_refused(server: Server) -> None:
    said = refusal("--data-dir", str(server.data_dir), "--port", "0")
    assert "is served by another server" in said


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    own = new_server(tmp_path / "qb")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal("--data-dir", str(own.data_dir), "--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in said
    assert len(said.splitlines()) <= 2


def test_a_directory_that_was_not_initialised_leads_to_init(tmp_path: Path) -> None:
    assert "qb init" in refusal("--data-dir", str(tmp_path / "nowhere"))
    own = new_server(tmp_path / "qb")
    (own.data_dir / "secret").unlink()
    assert "secret is missing" in refusal("--data-dir", str(own.data_dir))


def test_several_hosts_share_one_port_and_an_address_may_come_later() -> None:
    # 192.0.2.1 is reserved for documentation: no machine has it
    sockets = listen(("127.0.0.1", "192.0.2.1"), 0)
    try:
        first, second = (opened.getsockname() for opened in sockets)
        assert (first[0], second[0]) == ("127.0.0.1", "192.0.2.1")
        assert first[1] == second[1] != 0
    finally:
        for opened in sockets:
            opened.close()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "300.1.1.1", ""])
def test_an_address_that_cannot_be_is_refused(host: str) -> None:
    with pytest.raises(Invalid):
        listen((host,), 0)


def test_no_socket_stays_open_when_one_of_several_cannot_be(free_port: int) -> None:
    with pytest.raises(Invalid):
        listen(("127.0.0.1", "no.such.host.invalid"), free_port)
    listen(("127.0.0.1",), free_port)[0].close()


def test_a_keep_alive_connection_serves_many_requests(shared_server: Server) -> None:
    with shared_server.http() as http:
        assert {http.get("/version").status_code for _ in range(20)} == {200}


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: x\r\nX-API-Key: \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ],
)
def test_broken_http_gets_a_4xx(raw: bytes, shared_server: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=PATIENCE) as wire:
        wire.sendall(raw)
        assert wire.recv(65536).split(b" ")[1].startswith(b"4")
