"""Starts runners in an instant: a process that has imported the libraries forks one for each start.

Importing them takes most of a runner's start, and a runner that is killed a thousand times would spend its life on
it. What is forked then imports the runner itself and runs as ``python -m remote_runner`` does.
"""

import json
import os
import runpy
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

END_SECONDS = 20.0


class Fork:
    """A forked runner, with the methods of subprocess.Popen that its tests use."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._fd], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("remote_runner", timeout)
            os.close(self._fd)
            self.returncode = self._nursery.ask({"reap": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it, unless the process has ended; a pid that was not reaped is nobody else's."""
        if self.returncode is None:
            os.kill(self.pid, number)


class Nursery:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Fork:
        """Run ``python -m remote_runner``, as `command` has it, with its log appended to a file."""
        python, m, module, *arguments = command
        assert (python, m, module) == (sys.executable, "-m", "remote_runner")
        return Fork(self, self.ask({"arguments": arguments, "env": dict(env), "log": str(log)}))

    def ask(self, request: dict[str, Any]) -> int:
        """A request and its answer, a number."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it; a runner that still runs is its test's to end."""
        self._process.communicate(timeout=END_SECONDS)


def _serve() -> None:
    """Answer requests: the pid of a runner that was started, the exit status of one that has ended."""
    _import_libraries()
    for line in sys.stdin:
        request = json.loads(line)
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _become(request["arguments"], request["env"], request["log"])
        print(pid, flush=True)


def _import_libraries() -> None:
    # as remote_runner/__main__.py has it
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    for library in ("podman.api.client", "qb.client", "structlog", "sqlite3", "tomllib", "platformdirs"):
        __import__(library)


def _become(arguments: list[str], env: dict[str, str], log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for fd, at in ((nothing, 0), (nothing, 1), (written, 2)):
        os.dup2(fd, at)
    os.closerange(3, max(nothing, written) + 1)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["remote_runner", *arguments]
    runpy.run_module("remote_runner", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
