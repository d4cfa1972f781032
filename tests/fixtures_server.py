"""A real control plane for tests: `qb serve` as a process of its own, on a free port, with a fresh directory."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from qb.client import QbClient
from qb.domain.times import utc_now
from qb.service.setup import initialise

QB = Path(sys.executable).with_name("qb")
START_SECONDS = 30


@dataclass
class Server:
    """One control plane. `url` has no trailing slash; `log` holds what it wrote, parsed where it is JSON."""

    data_dir: Path
    admin_key: str
    registration_token: str
    options: tuple[str, ...] = ()
    port: int = 0
    log: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=10_000))
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str | None = None) -> QbClient:
        """A client with the admin key, or with `key`; the caller closes it."""
        return QbClient(self.url, api_key=key or self.admin_key)

    def joining(self) -> QbClient:
        """A client with the registration token."""
        return QbClient(self.url, registration_token=self.registration_token)

    def http(self, key: str | None = None) -> httpx2.Client:
        """Plain HTTP with the admin key, or with `key` ("" for none)."""
        key = self.admin_key if key is None else key
        return httpx2.Client(base_url=self.url, headers={"X-API-Key": key} if key else {}, timeout=30)

    def start(self, until: str = "/readyz") -> None:
        """Start it, on the port it had before if any, and wait until it answers `until` with 200."""
        command = [str(QB), "serve", "--data-dir", str(self.data_dir), "--port", str(self.port), *self.options]
        env = {**os.environ, "NO_COLOR": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        listening = threading.Event()
        self.reader = threading.Thread(target=self._read, args=(self.process, listening), daemon=True)
        self.reader.start()
        if not listening.wait(START_SECONDS):
            self.kill()
            raise AssertionError(f"the server did not start: {list(self.log)}")
        self._answers(until)

    def stop(self) -> int:
        """Stop it with SIGTERM; returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Stop it as a crash would."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process = self.process
        if process is None:
            return 0
        process.send_signal(number)
        code = process.wait(20)
        if self.reader is not None:
            self.reader.join(5)
        self.process = None
        return code

    def _read(self, process: "subprocess.Popen[str]", listening: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = {"event": line.rstrip("\n")}
                self.log.append(entry)
                if entry.get("event") == "listening":
                    self.port = int(entry["port"])
                    listening.set()

    def _answers(self, path: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {list(self.log)}")
            try:
                if httpx2.get(f"{self.url}{path}", timeout=START_SECONDS).status_code == 200:
                    return
            except httpx2.RequestError:
                time.sleep(0.02)
        raise AssertionError(f"the server does not answer: {list(self.log)}")


def new_server(data_dir: Path, *options: str) -> Server:
    """A control plane in `data_dir`, not started yet."""
    made = initialise(data_dir, now=utc_now())
    return Server(data_dir, made.admin_key, made.registration_token, options)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running control plane of the test's own."""
    own = new_server(tmp_path / "qb")
    own.start()
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running control plane that many tests use: each makes tasks for its own nodes alone, and leaves it running."""
    shared = new_server(tmp_path_factory.mktemp("shared") / "qb")
    shared.start()
    try:
        yield shared
    finally:
        shared.stop()
