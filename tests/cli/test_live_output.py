"""`qb task logs -f` and `qb task watch` against a real server that goes away, and connections that break."""

import os
import selectors
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from qb.client import QbClient
from qb.contract.nodes import Register
from qb.contract.states import ReportStatus, Stream
from qb.contract.tasks import OutputBatch, OutputChunk, StatusReport, TaskCreate
from tests.fixtures_server import QB, Server

PATIENCE = 60


@dataclass
class Proxy:
    """Passes connections on to a port, and cuts all of them when told to."""

    port: int
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    passing: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.port))
                except OSError:
                    near.close()
                    continue
                self.passing += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def cut(self) -> None:
        """Break every connection, as a network does."""
        while self.passing:
            with suppress(OSError):
                self.passing.pop().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        with source, suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server.port)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.close()
    thread.join(10)


class Job:
    """A task that a node runs; it prints when told to."""

    def __init__(self, server: Server) -> None:
        with server.client() as operator, server.joining() as joining:
            self._key = joining.register(Register(hostname="box", wire=2)).api_key
            self.id = operator.create_task(TaskCreate(prompt="go")).id
        self._server = server
        self._seq = 0
        with self.node() as node:
            assert node.poll() is not None
        self.says(ReportStatus.RUNNING)

    def node(self) -> QbClient:
        return self._server.client(self._key)

    def says(self, status: ReportStatus) -> None:
        with self.node() as node:
            code = 0 if status is ReportStatus.SUCCESS else None
            node.report_status(StatusReport(task_id=self.id, status=status, attempt=1, exit_code=code))

    def prints(self, count: int) -> None:
        chunks = [
            OutputChunk(seq=self._seq + number, stream=Stream.STDOUT, at="now", text=f"line {self._seq + number}\n")
            for number in range(1, count + 1)
        ]
        with self.node() as node:
            self._seq = node.report_output(self.id, OutputBatch(attempt=1, chunks=chunks))


@contextmanager
def following(proxy: Proxy, server: Server, *command: str) -> Iterator["subprocess.Popen[str]"]:
    env = {**os.environ, "QB_URL": proxy.url, "QB_API_KEY": server.admin_key, "NO_COLOR": "1"}
    run = subprocess.Popen(
        [str(QB), "task", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def read(run: "subprocess.Popen[str]", lines: int) -> list[str]:
    """The next lines of its output, within the deadline."""
    assert run.stdout is not None
    found = []
    with selectors.DefaultSelector() as ready:
        ready.register(run.stdout, selectors.EVENT_READ)
        for _ in range(lines):
            # what is in the buffer already is not announced again: one batch ends with the last line of it
            if not found:
                assert ready.select(PATIENCE), "nothing came in time"
            found.append(run.stdout.readline())
    return found


def test_followed_output_survives_restarts_crashes_and_broken_connections(server: Server, proxy: Proxy) -> None:
    job = Job(server)
    job.prints(3)
    with following(proxy, server, "logs", "-f", job.id) as run:
        seen = read(run, 3)
        for disturb in (proxy.cut, lambda: (server.stop(), server.start()), lambda: (server.kill(), server.start())):
            disturb()
            job.prints(3)
            seen += read(run, 3)
        job.prints(2)
        job.says(ReportStatus.SUCCESS)
        rest, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0
    assert "".join(seen) + rest == "".join(f"line {number}\n" for number in range(1, 15))


def test_a_watched_task_is_watched_to_its_end_whatever_happens_between(server: Server, proxy: Proxy) -> None:
    job = Job(server)
    with following(proxy, server, "watch", job.id) as run:
        first = read(run, 1)
        proxy.cut()
        server.stop()
        server.start()
        job.says(ReportStatus.ANALYZING)
        job.says(ReportStatus.SUCCESS)
        rest, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, [*first, rest]
    statuses = [line.split()[1] for line in rest.splitlines() if line[2:3] == ":"]
    assert statuses == ["pending", "assigned", "running", "analyzing", "success"][-len(statuses) :]
    assert statuses[-2:] == ["analyzing", "success"]
    assert len(statuses) == len(set(statuses))
