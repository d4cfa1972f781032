"""A scripted orchestrator on loopback: it checks every body against the contract, and keeps it."""

import base64
import contextlib
import hashlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from qb.contract.nodes import Heartbeat, Register
from qb.contract.tasks import OutputBatch, StatusReport


def wait_until(condition: Callable[[], Any], seconds: float = 120, what: str = "it") -> Any:
    """The first true value of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        threading.Event().wait(0.02)
    pytest.fail(f"{what} did not happen within {seconds} s")


@dataclass
class Orchestrator:
    """Plays the server: hands out what is queued, checks every body against the contract, keeps it."""

    url: str = ""
    queue: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    reports: list[StatusReport] = field(default_factory=list)
    output: dict[tuple[str, int], dict[int, tuple[str, str]]] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    registrations: list[Register] = field(default_factory=list)
    polls: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    cancel: list[dict[str, Any]] = field(default_factory=list)
    drain: bool = False
    down: bool = False
    lose_permits: int = 0
    permit_status: int = 200
    garbage: bytes | None = None
    poison: tuple[str, ...] = ()
    key: str = "qbn_first"
    token: str = "qbr_test"
    change: threading.Condition = field(default_factory=threading.Condition)

    def assign(self, prompt: str, **more: Any) -> str:
        """Queue an assignment; the prompt is the script that the test image runs."""
        task_id = more.pop("task_id", None) or str(uuid.uuid4())
        given = {"task_id": task_id, "prompt": prompt, "orchestrator_url": self.url, "attempt": 1}
        with self.change:
            self.queue.append(given | {"timeout_seconds": 60, "task_token": "qbt_token"} | more)
            self.change.notify_all()
        return task_id

    def verdicts(self, task_id: str) -> list[StatusReport]:
        return [each for each in self.reports if each.task_id == task_id and each.status.terminal]

    def verdict(self, task_id: str, seconds: float = 120) -> StatusReport:
        wait_until(lambda: self.verdicts(task_id), seconds, f"a verdict on {task_id}")
        return self.verdicts(task_id)[0]

    def permits(self, task_id: str) -> int:
        return sum(each.task_id == task_id and not each.status.terminal for each in self.reports)

    def text(self, task_id: str, stream: str = "stdout", attempt: int = 1) -> str:
        chunks = self.output.get((task_id, attempt), {})
        assert sorted(chunks) == list(range(1, len(chunks) + 1)), "output has gaps"
        return "".join(chunks[seq][1] for seq in sorted(chunks) if chunks[seq][0] == stream)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fleet: Orchestrator

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        fleet = self.fleet
        fleet.calls.append(f"{self.command} {urlsplit(self.path).path}")
        body = self._body()
        if fleet.down:
            self.close_connection = True
            return
        if fleet.garbage is not None:
            self._reply(200, fleet.garbage)
            return
        path = urlsplit(self.path).path
        if path == "/register":
            self._register(body)
        elif self.headers.get("X-API-Key") != fleet.key:
            self._problem(401, "unauthenticated")
        elif path == "/nodes/heartbeat":
            fleet.heartbeats.append(Heartbeat.model_validate_json(body))
            reply = {"cancel": fleet.cancel, "drain": fleet.drain, "lease_seconds": 1}
            self._json(200, node() | reply)
        elif path == "/tasks/pending":
            self._poll()
        elif path == "/status":
            self._status(StatusReport.model_validate_json(body))
        elif path.startswith("/files/"):
            self._file(unquote(path.removeprefix("/files/").partition("?")[0]))
        else:
            self._task_route(path, body)

    do_GET = do_POST = do_PUT = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _register(self, body: bytes) -> None:
        fleet = self.fleet
        if fleet.token != self.headers.get("X-Registration-Token") and fleet.key != self.headers.get("X-API-Key"):
            self._problem(401, "unauthenticated")
            return
        fleet.registrations.append(Register.model_validate_json(body))
        self._json(200, node() | {"api_key": fleet.key})

    def _poll(self) -> None:
        fleet = self.fleet
        query = parse_qs(urlsplit(self.path).query)
        fleet.polls.append(query.get("held", [""])[0])
        deadline = time.monotonic() + min(float(query["wait"][0]), 3)
        given = None
        with fleet.change:
            while given is None and not fleet.down and not self._gone() and time.monotonic() < deadline:
                fleet.change.wait(0.05)
                current = self.headers["X-API-Key"] == fleet.key
                if fleet.queue and current and not fleet.drain and not self._gone():
                    given = fleet.queue.pop(0)
        self._json(200, given)

    def _gone(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _status(self, report: StatusReport) -> None:
        fleet = self.fleet
        fleet.reports.append(report)
        fleet.order.append(f"status {report.status}")
        if not report.status.terminal:
            if fleet.lose_permits:
                fleet.lose_permits -= 1
                self.close_connection = True
                return
            if fleet.permit_status != 200:
                self._problem(fleet.permit_status, "stale_attempt")
                return
        self._json(200, task(report))

    def _file(self, name: str) -> None:
        if name not in self.fleet.files:
            self._problem(404, "not_found")
            return
        body = self.fleet.files[name]
        self._reply(200, body, {"X-Checksum-SHA256": hashlib.sha256(body).hexdigest()})

    def _task_route(self, path: str, body: bytes) -> None:
        _, _, task_id, kind, *rest = path.split("/")
        fleet = self.fleet
        fleet.order.append(kind)
        if kind == "output":
            batch = OutputBatch.model_validate_json(body)
            if any(word in chunk.text for word in fleet.poison for chunk in batch.chunks):
                self._problem(500, "internal")
                return
            kept = fleet.output.setdefault((task_id, batch.attempt), {})
            for chunk in batch.chunks:
                if chunk.seq == len(kept) + 1:  # as the server: nothing after a gap
                    kept[chunk.seq] = (chunk.stream.value, chunk.text)
            self._json(200, {"accepted_to": len(kept)})
            return
        name = unquote(rest[0])
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert self.headers["Digest"] == f"sha-256={digest}"
        fleet.artifacts[name] = body
        artifact = {"name": name, "size": len(body), "checksum": "", "created_at": "", "attempt": 1}
        self._json(201, artifact)

    def _problem(self, status: int, code: str) -> None:
        self._json(status, {"title": code, "status": status, "detail": f"scripted {code}", "code": code})

    def _json(self, status: int, value: Any) -> None:
        self._reply(status, json.dumps(value).encode())

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


def node() -> dict[str, Any]:
    given = {"id": "node-1", "name": "n1", "hostname": "h", "os_type": "linux", "mode": "pull", "status": "idle"}
    return given | {
        "state": "active",
        "capabilities": [],
        "tags": {},
        "wire": 2,
        "generation": "wire2",
        "slots": 1,
        "limits": True,
        "created_at": "",
    }


def task(report: StatusReport) -> dict[str, Any]:
    given = {"id": report.task, "prompt": "p", "priority": 0, "status": report.status.value}
    return given | {"attempt": report.attempt, "max_attempts": 1, "created_at": ""}


@contextlib.contextmanager
def serving() -> Iterator[Orchestrator]:
    """Play an orchestrator."""
    fleet = Orchestrator()
    handler = type("FleetHandler", (Handler,), {"fleet": fleet})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fleet.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield fleet
    with fleet.change:
        fleet.down = True
        fleet.change.notify_all()
    server.shutdown()
    server.server_close()
    thread.join()
