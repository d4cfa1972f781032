"""An orchestrator that answers as a test tells it to: a real HTTP server on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Answer = tuple[int, dict[str, Any]]
DEADLINE = 10.0


def problem(status: int, code: str, detail: str) -> Answer:
    return status, {"title": code, "status": status, "code": code, "detail": detail}


@dataclass
class Orchestrator:
    """`script` answers the reports to come, one each; when it is empty every report is taken."""

    task: dict[str, Any]
    port: int = 0
    key: str = "qbt_right"
    script: list[Answer] = field(default_factory=list)
    shown: Answer | None = None
    missing: Answer | None = None
    hold: threading.Event | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    problem = staticmethod(problem)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self) -> dict[str, str]:
        return {"ORCHESTRATOR_URL": self.url, "TASK_ID": self.task["id"], "NODE_API_KEY": self.key}

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Return the reports once there are `count`; fail after DEADLINE."""
        until = time.monotonic() + DEADLINE
        with self.changed:
            while len(self.reports) < count:
                assert self.changed.wait(until - time.monotonic()), f"{len(self.reports)} of {count} reports came"
            return list(self.reports)

    def answer(self, method: str, path: str, key: str | None, body: bytes) -> Answer:
        self.requests.append((method, path))
        if path == "/health":
            return 200, {"status": "ok", "version": "0.1.0"}
        if self.hold:
            self.hold.wait(DEADLINE)
        if key != self.key:
            return problem(401, "unauthenticated", "unknown key")
        if method == "POST" and path == "/status":
            return self._take(json.loads(body), key)
        if method == "GET" and path == f"/tasks/{self.task['id']}":
            return self.shown or (200, self.task)
        return self.missing or problem(404, "not_found", f"nothing at {path}")

    def _take(self, report: dict[str, Any], key: str) -> Answer:
        with self.changed:
            self.reports.append(report)
            self.keys.append(key)
            self.changed.notify_all()
            if self.script:
                return self.script.pop(0)
        return 200, self.task | {"status": report["status"]}


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    task = {
        "id": "6f4b7a0e-3f7e-4c3a-9a1d-2f6d6f0e7b11",
        "title": "weather",
        "prompt": "Summarise the weather",
        "priority": 0,
        "status": "running",
        "attempt": 2,
        "max_attempts": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "deadline_at": "2026-01-01T01:00:00Z",
    }
    fake = Orchestrator(task)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self._body()
            status, answer = fake.answer(self.command, self.path, self.headers.get("X-API-Key"), body)
            text = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:
                self.close_connection = True  # the client gave up while it was held

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_PUT = _serve

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    if fake.hold:
        fake.hold.set()
    server.shutdown()
    thread.join(DEADLINE)
    server.server_close()
