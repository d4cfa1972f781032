"""A child process with an owner: it has a log, is waited for with a deadline, and dies with this process."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qb.demo.errors import DemoError

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 10
TAIL = 15


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One part of the fleet."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as sink:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - prctl alone, before exec
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Until `ready()`; raises DemoError with the end of its log when it ends or takes too long."""
        until = time.monotonic() + seconds
        while not ready():
            if not self.alive():
                raise DemoError(
                    f"{self.name} ended with {self._child.returncode}; the end of {self.log}:\n{self.tail()}"
                )
            if time.monotonic() > until:
                raise DemoError(
                    f"{self.name} was not ready after {seconds:.0f} s; the end of {self.log}:\n{self.tail()}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """TERM to it and what it started, then KILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.alive():
                os.killpg(self._child.pid, number)
                try:
                    self._child.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        self._child.wait(STOP_SECONDS)

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-TAIL:])
