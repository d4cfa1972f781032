"""A scripted orchestrator on loopback, an image of busybox, and the runner as a process of its own."""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from qb.contract.nodes import Heartbeat, Register
from qb.contract.tasks import OutputBatch, StatusReport

IMAGE = "localhost/qb-runner-test:1"
PODMAN_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[engine]
runtime = "runc"
"""
BIN = "/bin/busybox"


def wait_until(condition: Callable[[], Any], seconds: float = 30, what: str = "it") -> Any:
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

    def verdict(self, task_id: str, seconds: float = 30) -> StatusReport:
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
            kept = fleet.output.setdefault((task_id, batch.attempt), {})
            for chunk in batch.chunks:
                kept.setdefault(chunk.seq, (chunk.stream.value, chunk.text))
            self._json(200, {"accepted_to": batch.chunks[-1].seq})
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


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
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


@pytest.fixture(scope="session")
def podman_env() -> dict[str, str]:
    """The environment in which podman works on a small machine, and the test image in it."""
    if os.environ.get("QB_TEST_NO_PODMAN") == "1":
        pytest.skip("QB_TEST_NO_PODMAN=1")
    if not shutil.which("podman") or not Path(BIN).exists():
        pytest.fail("podman and busybox-static are needed here; set QB_TEST_NO_PODMAN=1 to go without")
    shared = Path(tempfile.gettempdir()) / f"qb-runner-tests-{os.getuid()}"
    shared.mkdir(mode=0o700, exist_ok=True)
    env = dict(os.environ)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if "CONTAINERS_CONF" not in env and os.getuid() == 0:
            (shared / "containers.conf").write_text(PODMAN_CONF)
            env["CONTAINERS_CONF"] = str(shared / "containers.conf")
        if subprocess.run(["podman", "image", "exists", IMAGE], env=env, check=False).returncode:
            _build(shared, env)
    return env


def _build(folder: Path, env: dict[str, str]) -> None:
    shutil.copy(BIN, folder / "busybox")
    # the runner passes --accept-license --task PROMPT: the script is what follows
    (folder / "agent").write_text('#!/bin/sh\nexec /bin/sh -c "$3"\n')
    (folder / "agent").chmod(0o755)
    lines = ["FROM scratch", "COPY agent /agent", "COPY busybox /bin/busybox", "COPY busybox /bin/sh"]
    lines += [
        f"COPY busybox /bin/{tool}" for tool in ("cat", "sleep", "echo", "mkdir", "ln", "seq", "env", "tr", "head")
    ]
    (folder / "Containerfile").write_text("\n".join([*lines, 'ENTRYPOINT ["/agent"]', ""]))
    subprocess.run(
        ["podman", "build", "-q", "-t", IMAGE, str(folder)], env=env, check=True, capture_output=True, timeout=120
    )


class Runner:
    """The runner under test, as a process that can be stopped, killed and started again."""

    def __init__(self, folder: Path, url: str, env: dict[str, str], network: str | None) -> None:
        self.home = folder / "home"
        self.state = folder / "state"
        self.log = folder / "runner.log"
        self.env = env
        self.process: subprocess.Popen[bytes] | None = None
        self.options = ["--orchestrator-url", url, "--name", "n1", "--poll-interval", "1"]
        self.options += ["--container-image", IMAGE, "--victoria-home", str(self.home)]
        self.options += ["--state-dir", str(self.state), "--stop-grace", "1", "--drain-seconds", "0"]
        self.options += ["--network", network] if network else []

    def start_push(self, *more: str) -> None:
        """As `start`, in push mode."""
        self.start(*more, mode="push")

    def once_push(self, *more: str) -> "subprocess.CompletedProcess[str]":
        """A second push runner with a state of its own, which is expected to end by itself."""
        options = [*self.options, "--state-dir", f"{self.state}-2", *more]
        command = [sys.executable, "-m", "remote_runner", "push", *options]
        env = self.env | {"QB_REGISTRATION_TOKEN": "qbr_test"}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def start(self, *more: str, mode: str = "pull") -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "remote_runner", mode, *self.options, *more],
                env=self.env | {"QB_REGISTRATION_TOKEN": "qbr_test"},
                stderr=log,
            )

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def logged(self) -> str:
        return self.log.read_text()

    def containers(self, *options: str) -> list[str]:
        label = f"label=qb.runner={(self.state / 'runner_id').read_text().strip()}"
        done = subprocess.run(
            ["podman", "ps", "-a", "--filter", label, "--format", "{{.ID}}", *options],
            env=self.env,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.split()

    def clean(self) -> None:
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)
        if (self.state / "runner_id").exists() and (left := self.containers()):
            command = ["podman", "rm", "-f", "-t", "0", *left]
            subprocess.run(command, env=self.env, check=False, capture_output=True, timeout=60)


@pytest.fixture
def runner(tmp_path: Path, orchestrator: Orchestrator, podman_env: dict[str, str]) -> Iterator[Runner]:
    made = Runner(tmp_path, orchestrator.url, podman_env, "host")
    yield made
    made.clean()
    if made.log.exists():
        print(made.logged())


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for a condition, with a deadline."""
    return wait_until
