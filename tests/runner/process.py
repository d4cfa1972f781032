"""The runner as a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

IMAGE = "localhost/qb-runner-test:1"


class Runner:
    """The runner under test, as a process that can be stopped, killed and started again."""

    def __init__(self, folder: Path, url: str, env: dict[str, str], network: str | None) -> None:
        self.home = folder / "home"
        self.state = folder / "state"
        self.log = folder / "runner.log"
        self.env = env
        self.prefix: list[str] = []
        self.python = sys.executable
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
        command = [*self.prefix, self.python, "-m", "remote_runner", "push", *options]
        env = self.env | {"QB_REGISTRATION_TOKEN": "qbr_test"}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def start(self, *more: str, mode: str = "pull") -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.python, "-m", "remote_runner", mode, *self.options, *more],
                env=self.env | {"QB_REGISTRATION_TOKEN": "qbr_test"},
                stderr=log,
            )

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def logged(self) -> str:
        return self.log.read_text()

    def containers(self, *options: str) -> list[str]:
        label = f"label=qb.runner={(self.state / 'runner_id').read_text().strip()}"
        done = subprocess.run(
            [*self.prefix, "podman", "ps", "-a", "--filter", label, "--format", "{{.ID}}", *options],
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
            command = [*self.prefix, "podman", "rm", "-f", "-t", "0", *left]
            subprocess.run(command, env=self.env, check=False, capture_output=True, timeout=60)
