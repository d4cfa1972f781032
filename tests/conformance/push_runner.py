"""An older push runner: a real HTTP server with the routes that wire.md names "towards a push node"."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.conformance.container import BARE, Container, Image


class PushRunner:
    """Generations A and B in push mode. It never heartbeats, never polls, and runs one container at a time.

    `runs` are the bodies of the /run requests that it accepted, `refused` the statuses of those it did not.
    With `slow` seconds its answer to /run comes that late, though the container starts at once; with `drops_answers`
    none comes, and with `swallows` the request is lost as well.
    """

    hands_key_to_container = False

    def __init__(self, *, name: str = "push", image: Image = BARE, orchestrator_url: str = "", port: int = 0) -> None:
        self.name = name
        self.image = image
        self.api_key: str | None = None
        self.orchestrator_url = orchestrator_url
        self.container: Container | None = None
        self.slow = 0.0
        self.drops_answers = self.swallows = False
        self.runs: list[dict[str, Any]] = []
        self.refused: list[int] = []
        self.asked: list[str] = []
        self._pids = itertools.count(4000)
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._stopped = threading.Event()

    # the process

    def start(self) -> Self:
        """Listen on loopback."""
        runner = self

        class Handler(_Handler):
            node = runner

        self._stopped.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening: connections are refused from now on."""
        self._stopped.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @property
    def stopped(self) -> bool:
        """Whether it has ended."""
        return self._stopped.is_set()

    @property
    def endpoint(self) -> str:
        """Its address, as `api_endpoint` tells it."""
        return f"http://127.0.0.1:{self._port}"

    # what happens on the node

    def ends(self, exit_code: int = 0) -> None:
        """The container ends; only /status tells so."""
        assert self.container is not None
        self.container.exit_code = exit_code

    # its routes

    def health(self) -> tuple[int, dict[str, Any]]:
        """GET /health."""
        told = {"status": "healthy", "mode": "push", "os_type": "linux", "container_runtime": "podman"}
        return 200, told | {"name": self.name}

    def status(self) -> tuple[int, dict[str, Any]]:
        """GET /status: it names no task."""
        container = self.container
        if container is None:
            return 200, {"status": "idle"}
        if container.running:
            return 200, {"status": "running", "pid": container.pid}
        return 200, {"status": "completed", "pid": container.pid, "exit_code": container.exit_code}

    def run(self, key: str | None, body: Any) -> tuple[int, dict[str, Any]]:
        """POST /run. `timeout_seconds` is ignored."""
        code, answer = self._run(key, body)
        if code != 200:
            self.refused.append(code)
        elif self.slow:
            self._stopped.wait(self.slow)
        return code, answer

    def _run(self, key: str | None, body: Any) -> tuple[int, dict[str, Any]]:
        if key is None or key != self.api_key:
            return 401, {"error": "invalid API key"}
        if not isinstance(body, dict) or not body.get("task_id") or not body.get("prompt"):
            return 400, {"error": "task_id and prompt are required"}
        if self.container is not None and self.container.running:
            return 409, {"error": "already running"}
        env = {
            "JOB_ID": body["task_id"],
            "ORCHESTRATOR_URL": body.get("orchestrator_url") or self.orchestrator_url,
        }
        if self.hands_key_to_container and self.api_key:
            env["NODE_API_KEY"] = self.api_key
        pid = next(self._pids)
        self.container = Container(body["task_id"], body["prompt"], env, self.image.reporter(env), pid)
        self.runs.append(body)
        return 200, {"status": "started", "task_id": body["task_id"], "pid": pid}


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for one PushRunner."""

    node: PushRunner
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._dead():
            return
        routes = {"/health": self.node.health, "/status": self.node.status}
        self.node.asked.append(self.path)
        route = routes.get(self.path)
        self._answer(*(route() if route else (404, {"error": "not found"})))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._dead():
            return
        self.node.asked.append(self.path)
        if self.path != "/run":
            self._answer(404, {"error": "not found"})
            return
        try:
            parsed = json.loads(body)
        except ValueError:
            self._answer(400, {"error": "not JSON"})
            return
        if self.node.swallows:
            self.close_connection = True
            return
        answer = self.node.run(self.headers.get("X-API-Key"), parsed)
        if self.node.drops_answers:
            self.close_connection = True
            return
        self._answer(*answer)

    def _dead(self) -> bool:
        """A kept connection outlives the server that took it: nobody is to answer there."""
        self.close_connection = self.close_connection or self.node.stopped
        return self.node.stopped

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


@contextmanager
def listening(runner: PushRunner) -> Iterator[PushRunner]:
    """The runner, listening until the block is left."""
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()
