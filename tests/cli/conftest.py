"""The API played on loopback, and `qb` run against it."""

import io
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from qb.cli import main
from qb.contract.errors import PROBLEM_TYPE, ErrorCode, Problem
from qb.contract.nodes import Node
from qb.contract.states import Generation, NodeMode, NodeState, NodeStatus, Reporter, TaskStatus
from qb.contract.tasks import Task, TaskEvent

KEY = "qba_test"


@dataclass
class Seen:
    """One request as the server got it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """An answer to give; `drop` closes the connection without ending the body."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    drop: bool = False


@dataclass
class FakeApi:
    """Replies in the order they were set for (method, path); the last one stays."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=lambda: defaultdict(list))

    def answers(self, method: str, path: str, answer: Any, status: int = 200) -> None:
        self.replies[method, path].append(Reply(_encoded(answer), status))

    def sends(self, path: str, body: bytes) -> None:
        self.replies["GET", path].append(Reply(body, kind="application/octet-stream"))

    def refuses(self, method: str, path: str, status: int, code: ErrorCode, detail: str) -> None:
        problem = Problem(title=code, status=status, detail=detail, code=code)
        self.replies[method, path].append(Reply(_encoded(problem), status, PROBLEM_TYPE))

    def streams(self, path: str, entries: list[Any], *, ends: bool = True) -> None:
        """Server-sent events; without `ends` the connection drops after the last."""
        text = "".join(f"id: {entry.id}\ndata: {entry.model_dump_json()}\n\n" for entry in entries)
        text += "event: end\ndata: {}\n\n" if ends else ""
        self.replies["GET", path].append(Reply(text.encode(), kind="text/event-stream", drop=not ends))

    def next(self, method: str, path: str) -> Reply:
        waiting = self.replies.get((method, path))
        if not waiting:
            problem = Problem(title="x", status=404, detail=f"no {path}", code=ErrorCode.NOT_FOUND)
            return Reply(_encoded(problem), 404, PROBLEM_TYPE)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def _encoded(answer: Any) -> bytes:
    if isinstance(answer, BaseModel):
        return answer.model_dump_json().encode()
    if isinstance(answer, list):
        answer = [each.model_dump(mode="json") for each in answer]
    return json.dumps(answer).encode()


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A server on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            path, _, query = self.path.partition("?")
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.seen.append(Seen(self.command, path, query, dict(self.headers), body))
            reply = fake.next(self.command, path)
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            if reply.drop:
                self.send_header("Connection", "close")
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PATCH = do_DELETE = _any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class FakeServer(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has gone is no error, and must not stand in what the next test captures."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    server = FakeServer(("127.0.0.1", 0), Handler)
    fake = FakeApi(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join(10)


@dataclass
class Ran:
    """What a run of `qb` left."""

    code: int
    out: str
    err: str


Qb = Callable[..., Ran]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests gets in, and none of theirs is written to."""
    for name in ("QB_URL", "QB_API_KEY", "QB_PROFILE_NAME", "QB_CA_FILE", "QB_DATA_DIR", "QB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QB_PROFILE", str(tmp_path / "config" / "profile.toml"))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def qb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Qb:
    """Run `qb` in this process, as the console entry point does."""

    def run(*args: str, stdin: bytes = b"", tty: bool = False) -> Ran:
        monkeypatch.setattr(sys, "argv", ["qb", *args])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with monkeypatch.context() as patched:
            if tty:
                patched.setattr("qb.cli.terminal.is_terminal", lambda stream=None: True)
            with pytest.raises(SystemExit) as ended:
                main.run()
        out, err = capsys.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def connected(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """The API, with QB_URL and QB_API_KEY leading to it."""
    monkeypatch.setenv("QB_URL", api.url)
    monkeypatch.setenv("QB_API_KEY", KEY)
    return api


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """Tasks with sensible values."""

    def make(task_id: str = "3f2a0000-0000-4000-8000-000000000001", **values: Any) -> Task:
        base: dict[str, Any] = {
            "id": task_id,
            "prompt": "Summarise sales.csv",
            "priority": 0,
            "status": TaskStatus.PENDING,
            "attempt": 0,
            "max_attempts": 1,
            "created_at": "2026-01-31T12:00:00.000Z",
        }
        return Task(**(base | values))

    return make


@pytest.fixture
def make_event() -> Callable[..., TaskEvent]:
    """Events with sensible values."""

    def make(number: int, **values: Any) -> TaskEvent:
        base: dict[str, Any] = {
            "id": number,
            "task_id": "3f2a0000-0000-4000-8000-000000000001",
            "attempt": 1,
            "at": f"2026-01-31T12:00:{number:02}.000Z",
            "kind": "agent_running",
            "source": Reporter.AGENT,
            "status": TaskStatus.RUNNING,
        }
        return TaskEvent(**(base | values))

    return make


@pytest.fixture
def make_node() -> Callable[..., Node]:
    """Nodes with sensible values."""

    def make(name: str, node_id: str, **values: Any) -> Node:
        base: dict[str, Any] = {
            "id": node_id,
            "name": name,
            "hostname": f"{name}.example",
            "os_type": "linux",
            "mode": NodeMode.PULL,
            "status": NodeStatus.IDLE,
            "state": NodeState.ACTIVE,
            "capabilities": [],
            "tags": {"site": "berlin"},
            "wire": 2,
            "generation": Generation.WIRE2,
            "slots": 1,
            "limits": True,
            "created_at": "2026-01-31T12:00:00.000Z",
        }
        return Node(**(base | values))

    return make
