"""`qb` as a process: closed pipes, Ctrl-C, odd locales and bugs."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from qb.cli import main

QB = [sys.executable, "-c", "from qb.cli.main import run; run()"]


@pytest.mark.parametrize("count", [1, 500])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_quiet(connected: Any, make_task: Any, count: int, unbuffered: str) -> None:
    connected.answers("GET", "/tasks", [make_task(prompt="x" * 1000) for _ in range(count)])
    reading, writing = os.pipe()
    os.close(reading)
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    try:
        ran = subprocess.run(
            [*QB, "task", "list"], stdout=writing, stderr=subprocess.PIPE, env=env, timeout=30, check=False
        )
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_ctrl_c_exits_130_and_says_nothing(connected: Any, make_event: Any, make_task: Any) -> None:
    connected.answers("GET", f"/tasks/{make_event(1).task_id}", make_task())
    path = f"/tasks/{make_event(1).task_id}/events"
    connected.streams(path, [make_event(1)], ends=False)
    command = [*QB, "task", "wait", make_event(1).task_id]
    # what runs in the background of a script is started with the signal ignored, and hands that on
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    with waiting:
        try:
            deadline = time.monotonic() + 20
            while not any(seen.path == path for seen in connected.seen):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            waiting.send_signal(signal.SIGINT)
            out, err = waiting.communicate(timeout=20)
        finally:
            waiting.kill()
    assert (waiting.returncode, out, err) == (130, b"", b"")


def test_a_terminal_that_knows_only_ascii_gets_escapes(connected: Any, make_task: Any) -> None:
    connected.answers("GET", "/tasks", [make_task(prompt="Grüße")])
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run([*QB, "task", "list"], capture_output=True, env=env, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert rb"Gr\xfc\xdfe" in ran.stdout


def test_a_bug_is_one_line_too(qb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(main, "get_command", broken)
    ran = qb("task", "list")
    assert ran.code == 1
    assert ran.err == (
        "error: unexpected ZeroDivisionError: division by zero\nhint: set QB_DEBUG=1 to see where, and report it\n"
    )
