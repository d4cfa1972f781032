"""Control plane, dashboard and one pull runner on this machine, started in order and stopped in reverse."""

import json
import socket
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError

from qb.client import ClientError, QbClient
from qb.dashboard.links import link
from qb.dashboard.roles import Role
from qb.demo.command import attempt, run
from qb.demo.errors import DemoError
from qb.demo.podman import Network
from qb.demo.process import Process

READY_SECONDS = 60
NODE = "this-machine"
Say = Callable[[str], None]


def free_port() -> int:
    """A port on loopback that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def dashboard_command(data_dir: Path, port: int) -> list[str]:
    """`qb dashboard` on loopback."""
    return [sys.executable, "-m", "qb", "dashboard", "--data-dir", str(data_dir), "--port", str(port)]


class Fleet:
    """A running fleet; leaving it stops every process and removes what its runner left.

    `state` keeps databases and logs. Raises DemoError when a part does not start.
    """

    def __init__(self, state: Path, network: Network, image: str, say: Say) -> None:
        self._state = state
        self._network = network
        self._image = image
        self._say = say
        self._processes: list[Process] = []
        self.data_dir = state / "control-plane"
        self.port, self._dashboard_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.agent_url = f"http://{network.agent_host}:{self.port}"
        self.dashboard_url = f"http://127.0.0.1:{self._dashboard_port}"
        self.profile = state / "profile.toml"
        self._keys = state / "keys.json"

    def __enter__(self) -> Self:
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._initialise()
            self.start_control_plane()
            self._start_dashboard()
            self._start_runner()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def admin_key(self) -> str:
        """The operator's key, as `qb init` gave it."""
        return str(json.loads(self._keys.read_text("utf-8"))["admin_key"])

    def sign_in_link(self) -> str:
        """A link that signs in to the dashboard once, for a quarter of an hour from now."""
        return link(self.data_dir, "operator", Role.ANALYST, now=datetime.now(UTC))

    def client(self) -> QbClient:
        """A client with the operator's key; the caller closes it."""
        return QbClient(self.url, api_key=self.admin_key)

    def stop(self) -> None:
        """Stop everything, the runner first, and its containers with it."""
        while self._processes:
            self._processes.pop().stop()
        self._remove_containers()

    def _remove_containers(self) -> None:
        """Those of this fleet's runner only: another fleet may run on the same machine."""
        runner = self._state / "runner" / "runner_id"
        if not runner.exists():
            return
        label = f"label=qb.runner={runner.read_text('utf-8').strip()}"
        _, containers, _ = attempt(["podman", "ps", "-aq", "--filter", label], timeout=30)
        if containers.split():
            attempt(["podman", "rm", "-f", "-t", "2", *containers.split()], timeout=60)

    def watch(self) -> None:
        """Raise DemoError when a part has ended by itself."""
        for process in self._processes:
            if not process.alive():
                raise DemoError(f"{process.name} has ended; the end of {process.log}:\n{process.tail()}")

    def _initialise(self) -> None:
        if self._keys.exists():
            return
        init = [sys.executable, "-m", "qb", "init", "--data-dir", str(self.data_dir), "--json"]
        answer = run(init, timeout=60, what="qb init", env={"QB_PROFILE": str(self.profile)})
        self._keys.touch(mode=0o600)
        self._keys.write_text(answer, "utf-8")

    def start_control_plane(self) -> Process:
        """Start `qb serve`, and wait until it answers."""
        command = [sys.executable, "-m", "qb", "serve", "--data-dir", str(self.data_dir), "--port", str(self.port)]
        command += ["--host", "127.0.0.1", "--dashboard-url", self.dashboard_url, "--url", self.url]
        if self._network.listen:
            command += ["--host", self._network.listen]
        command += ["--agent-url", self.agent_url]
        process = self._start("control plane", command)
        process.wait_until(self._healthy, seconds=READY_SECONDS)
        self._say(f"control plane at {self.url}")
        return process

    def _start_dashboard(self) -> None:
        process = self._start("dashboard", dashboard_command(self.data_dir, self._dashboard_port))
        process.wait_until(lambda: _answers(f"{self.dashboard_url}/-/healthz"), seconds=READY_SECONDS)
        self._say(f"dashboard at {self.dashboard_url}")

    def _start_runner(self) -> None:
        command = [sys.executable, "-m", "remote_runner", "pull", "--orchestrator-url", self.url, "--name", NODE]
        command += ["--container-image", self._image, "--victoria-home", str(self._state / "victoria")]
        command += ["--state-dir", str(self._state / "runner"), "--drain-seconds", "0"]
        if self._network.podman_network:
            command += ["--network", self._network.podman_network]
        token = json.loads(self._keys.read_text("utf-8"))["registration_token"]
        process = self._start("runner", command, env={"QB_REGISTRATION_TOKEN": token})
        process.wait_until(self._joined, seconds=READY_SECONDS)
        self._say(f"runner {NODE} has joined")

    def _start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Process:
        process = Process(name, command, log=self._state / f"{name.replace(' ', '-')}.log", env=env)
        self._processes.append(process)
        return process

    def _healthy(self) -> bool:
        return _answers(f"{self.url}/health")

    def _joined(self) -> bool:
        try:
            with self.client() as client:
                return any(node.name == NODE and node.status == "idle" for node in client.nodes())
        except ClientError:
            return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback, by our own hand
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
