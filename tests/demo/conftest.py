"""The orchestrator as the demo's agent meets it: takes every report, except while it is told to be away."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Orchestrator:
    """`away` counts the reports that are answered 503 before they are taken."""

    task: dict[str, Any]
    url: str = ""
    away: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list)

    def take(self, report: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.away and report["status"] == "success":
            self.away -= 1
            return 503, {"title": "overloaded", "status": 503, "code": "overloaded", "detail": "away"}
        self.reports.append(report)
        return 200, self.task | {"status": report["status"]}


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    task = {"id": "t1", "prompt": "p", "priority": 0, "status": "running", "attempt": 1, "max_attempts": 1}
    fake = Orchestrator(task | {"created_at": "2026-01-01T00:00:00Z"})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = fake.take(json.loads(body)) if body else (200, fake.task)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield fake
    server.shutdown()
    thread.join(10)
    server.server_close()
