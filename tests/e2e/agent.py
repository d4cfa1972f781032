"""A runner as a process, and words for an agent that is a shell script."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qb.contract.nodes import NodeCreate
from qb.contract.states import NodeMode

IMAGE = "localhost/qb-e2e-agent:latest"

REPORT = """
report() {
    timeout 20 wget -q -O /dev/null --header "X-API-Key: $NODE_API_KEY" --header "Content-Type: application/json" \
        --post-data "{\\"task_id\\": \\"$TASK_ID\\", $1}" "$ORCHESTRATOR_URL/status"
}
insist() { until report "$1"; do sleep 0.2; done; }
"""
"""For an agent's script: `report` tells the orchestrator once, `insist` until it listens.

busybox's wget waits a quarter of an hour for an answer, and its -T crashes in Debian's build.
"""


def wait_until(condition: Callable[[], Any], what: str, *, seconds: float = 60, every: float = 0.05) -> Any:
    """The first true value of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def spawn(command: Sequence[str], env: Mapping[str, str], log: Path) -> Any:
    """A process whose standard error is appended to a file."""
    with log.open("ab") as written:
        return subprocess.Popen(command, env=env, stderr=written)


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@dataclass
class Node:
    """A runner as a process of its own; `spawn` makes the process. A push node with a `token` joins by itself."""

    server: Any
    folder: Path
    env: dict[str, str]
    name: str = "box"
    mode: str = "pull"
    endpoint: str = ""
    key: str = ""
    token: str = ""
    image: str = IMAGE
    options: tuple[str, ...] = ()
    spawn: Callable[[Sequence[str], Mapping[str, str], Path], Any] = spawn
    process: Any = None

    def start(self, *more: str, env: Mapping[str, str] | None = None) -> None:
        """Start it, or start it again on the same state."""
        if self.mode == "push" and not self.endpoint:
            self.endpoint = _free_address()
            if not self.token:
                self._preregister()
        command = [sys.executable, "-m", "remote_runner", self.mode, "--orchestrator-url", self.server.url]
        command += ["--drain-seconds", "0", "--stop-grace", "1"]
        command += ["--name", self.name, "--container-image", self.image, "--poll-interval", "1"]
        command += ["--victoria-home", str(self.folder / "home"), "--state-dir", str(self.folder / "state")]
        command += [*self.options, *more]
        if self.mode == "push":
            command += ["--port", self.endpoint.rpartition(":")[2]]
        token = self.token or self.server.registration_token
        joins = {"QB_NODE_KEY": self.key} if self.key else {"QB_REGISTRATION_TOKEN": token}
        self.process = self.spawn(command, {**self.env, **joins, **(env or {})}, self.folder / "runner.log")

    def _preregister(self) -> None:
        """An operator says where the push node is."""
        with self.server.client() as client:
            body = NodeCreate(name=self.name, mode=NodeMode.PUSH, api_endpoint=self.endpoint)
            self.key = client.create_node(body).api_key

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def containers(self, task_id: str) -> list[str]:
        """Every container of the task that there is."""
        command = ["podman", "ps", "-aq", "--filter", f"label=qb.task={task_id}"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.split()

    def sweep(self) -> None:
        """Remove every container that its runner has left."""
        runner = self.folder / "state" / "runner_id"
        if runner.exists():
            label = f"label=qb.runner={runner.read_text().strip()}"
            command = ["podman", "ps", "-aq", "--filter", label]
            done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=True)
            if done.stdout.split():
                command = ["podman", "rm", "-f", "-t", "0", *done.stdout.split()]
                subprocess.run(command, env=self.env, check=False, capture_output=True, timeout=60)
