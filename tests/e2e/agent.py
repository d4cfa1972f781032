"""A runner as a process, and words for an agent that is a shell script."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qb.contract.nodes import NodeCreate
from qb.contract.states import NodeMode

IMAGE = "localhost/qb-e2e-agent:latest"

REPORT = """
report() {
    wget -q -O /dev/null --header "X-API-Key: $NODE_API_KEY" --header "Content-Type: application/json" \
        --post-data "{\\"task_id\\": \\"$TASK_ID\\", $1}" "$ORCHESTRATOR_URL/status"
}
insist() { until report "$1"; do sleep 0.2; done; }
"""
"""For an agent's script: `report` tells the orchestrator once, `insist` until it listens."""


def wait_until(condition: Callable[[], Any], what: str, *, seconds: float = 60) -> Any:
    """The first true value of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@dataclass
class Node:
    """A runner as a process of its own."""

    server: Any
    folder: Path
    env: dict[str, str]
    name: str = "box"
    mode: str = "pull"
    endpoint: str = ""
    key: str = ""
    image: str = IMAGE
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str, env: Mapping[str, str] | None = None) -> None:
        """Start it, or start it again on the same state."""
        if self.mode == "push" and not self.key:
            self._preregister()
        command = [sys.executable, "-m", "remote_runner", self.mode, "--orchestrator-url", self.server.url]
        command += ["--drain-seconds", "0", "--stop-grace", "1"]
        command += ["--name", self.name, "--container-image", self.image, "--poll-interval", "1"]
        command += ["--victoria-home", str(self.folder / "home"), "--state-dir", str(self.folder / "state")]
        command += [*self.options, *more]
        if self.mode == "push":
            command += ["--port", self.endpoint.rpartition(":")[2]]
        joins = {"QB_NODE_KEY": self.key} if self.key else {"QB_REGISTRATION_TOKEN": self.server.registration_token}
        with (self.folder / "runner.log").open("ab") as log:
            self.process = subprocess.Popen(command, env={**self.env, **joins, **(env or {})}, stderr=log)

    def _preregister(self) -> None:
        """An operator says where the push node is."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
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
