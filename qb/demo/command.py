"""Run another program to its end, with a deadline, and say what it said when it fails."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from qb.demo.errors import DemoError

TAIL = 15


def run(
    command: Sequence[str],
    *,
    timeout: float,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """The program's standard output. Raises DemoError, with the end of what it printed, when it fails."""
    status, out, err = attempt(command, timeout=timeout, env=env, cwd=cwd)
    if status != 0:
        said = "\n".join((out + err).strip().splitlines()[-TAIL:])
        raise DemoError(f"{what} failed: `{shlex.join(command)}` ended with {status}\n{said}")
    return out


def attempt(
    command: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error; 127 when there is no such program, 124 past the deadline."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        return 127, "", f"{error.filename}: not found"
    except subprocess.TimeoutExpired:
        return 124, "", f"no end after {timeout:.0f} s"
    return done.returncode, done.stdout, done.stderr
