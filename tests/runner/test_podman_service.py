"""A podman that does not come up, or goes away at once: nothing waits for it for ever, and nothing spins."""

import itertools
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remote_runner import podman_service
from remote_runner.container import Container, Stopped
from remote_runner.podman_api import EngineUnavailable
from remote_runner.podman_service import PodmanService

DEAF = """\
#!/bin/sh
trap '' TERM
echo $$ >> "{starts}"
while :; do sleep 0.1; done
"""


def alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_service_that_never_answers_is_ended_and_started_again(
    tmp_path: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podman_service, "START_SECONDS", 0.3)
    monkeypatch.setattr(podman_service, "END_SECONDS", 0.3)
    starts, command = tmp_path / "starts", tmp_path / "podman"
    command.write_text(DEAF.format(starts=starts))
    command.chmod(0o755)
    service = PodmanService(str(command), tmp_path)
    try:
        assert not service.start()
        until(lambda: starts.exists() and len(starts.read_text().split()) > 1, 20, "another start")
    finally:
        service.stop()
    pids = [int(pid) for pid in starts.read_text().split()]
    until(lambda: not any(map(alive, pids)), 10, "the end of all of them")


class Waits(threading.Event):
    """A stop event that is told to wait, and comes with the fifth time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        if len(self.seconds) == 5:
            self.set()
        return self.is_set()


def test_a_start_that_fails_at_once_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    tries = itertools.count()

    def init(_: str) -> None:
        assert next(tries) < 100, "it spins"
        raise EngineUnavailable("connection reset")

    engine: Any = SimpleNamespace(init=init, state=lambda _: SimpleNamespace(created=True, pid=0))
    stop = Waits()
    with pytest.raises(Stopped):
        Container(engine, "c", tmp_path / "pid", stop).start(lambda _: None)
    assert next(tries) == 6
    assert stop.seconds[-1] > stop.seconds[0]
