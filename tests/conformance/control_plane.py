"""A real server with a clock that tests turn: the application under uvicorn, on a thread of this process."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from qb.api.app import create_app
from qb.service.core import Settings
from qb.service.setup import initialise

PATIENCE = 10.0
"""Seconds of real time that anything here may take."""


@dataclass
class HandClock:
    """A clock that stands still until it is turned."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class ControlPlane:
    """The running server, and what an operator asks of it. `url` has no trailing slash."""

    url: str
    clock: HandClock
    admin_key: str
    registration_token: str

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None, **more: Any) -> httpx2.Response:
        """One request with the admin key, or with `key` ("" for none)."""
        key = self.admin_key if key is None else key
        headers = {"X-API-Key": key} if key else {}
        return httpx2.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=30, **more)

    def push_token(self) -> str:
        """A registration token with which a node may say where to push to."""
        return str(self.call("POST", "/registration-tokens", {"allows_push": True}).json()["token"])

    def task(self, prompt: str = "work", **more: Any) -> str:
        """Create a task; returns its id."""
        answer = self.call("POST", "/tasks", {"prompt": prompt, **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file; returns what POST /tasks takes in `files`."""
        headers = {"X-API-Key": self.admin_key}
        answer = httpx2.post(f"{self.url}/upload", files={"file": (name, content)}, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["filename"])

    def show(self, task_id: str) -> dict[str, Any]:
        """The task."""
        found: dict[str, Any] = self.call("GET", f"/tasks/{task_id}").json()
        return found

    def state(self, task_id: str) -> tuple[str, str | None]:
        """Status and reason."""
        task = self.show(task_id)
        return task["status"], task["reason"]

    def node(self, name: str) -> dict[str, Any]:
        """The node of that name."""
        found: dict[str, Any] = self.call("GET", f"/nodes/{name}").json()
        return found

    def add_node(self, name: str, **more: Any) -> str:
        """Pre-register a node; returns the key that generation A is given."""
        answer = self.call("POST", "/nodes", {"name": name, **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["api_key"])

    def events(self, task_id: str) -> list[dict[str, Any]]:
        """The task's history."""
        found: list[dict[str, Any]] = self.call("GET", f"/tasks/{task_id}/events").json()
        return found

    def kinds(self, task_id: str) -> list[str]:
        """The kinds of the task's events."""
        return [event["kind"] for event in self.events(task_id)]

    def passes(self, seconds: float) -> None:
        """Let time pass on the server's clock."""
        self.clock.turn(seconds)

    def ends(self, task_id: str) -> tuple[str, str | None]:
        """Status and reason, once the scheduler has ended the task or sent it back."""
        return self.until(lambda: _settled(self.state(task_id)))

    def until(self, found: Callable[[], Any]) -> Any:
        """What `found` gives once that is something; the scheduler looks at the clock every second."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            value = found()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"{PATIENCE:g} s have passed, and it has not come")


def _settled(state: tuple[str, str | None]) -> tuple[str, str | None] | None:
    return state if state[0] in ("pending", "success", "error", "cancelled") else None


@contextmanager
def running(data_dir: Path, clock: HandClock | None = None, **settings: Any) -> Iterator[ControlPlane]:
    """A control plane on a fresh directory, until the block is left."""
    clock = clock or HandClock()
    made = initialise(data_dir, now=clock())
    with serving(data_dir, clock, **settings) as url:
        yield ControlPlane(url, clock, made.admin_key, made.registration_token)


@contextmanager
def serving(data_dir: Path, clock: HandClock, **settings: Any) -> Iterator[str]:
    """Serve a data directory that exists; yields the address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(Settings(data_dir, url, url, **settings), clock=clock)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + PATIENCE
            while not server.started:
                assert thread.is_alive(), "the server ended before it served"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.01)
            yield url
        finally:
            app.lifespan.begin_stop()
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server did not stop"
