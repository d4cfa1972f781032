"""What a runner asks of podman when it starts."""

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remote_runner import runner
from remote_runner.errors import CannotStart
from remote_runner.podman_api import EngineError, EngineUnavailable
from remote_runner.statedir import Identity, StateDir, StateError


class Podman:
    """Fails with each of `failures` in turn, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def limits_work(self) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        return True


@pytest.fixture
def signals() -> Any:
    """Signals of which none has come."""
    return SimpleNamespace(ending=False, woken=threading.Event())


def test_a_podman_that_fails_once_is_asked_again(signals: Any) -> None:
    podman: Any = Podman(EngineUnavailable("timed out"), EngineError("no such container"))
    assert runner._limits_work(podman, signals)
    assert podman.failures == []


def test_a_podman_that_goes_on_failing_ends_the_start_with_its_words(
    signals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PODMAN_PATIENCE", 0.5)
    podman: Any = Podman(*[EngineError("cannot set up namespace")] * 100)
    with pytest.raises(CannotStart, match="cannot set up namespace"):
        runner._limits_work(podman, signals)
    assert len(podman.failures) < 99, "it was asked again"


def test_a_runner_that_is_told_to_end_asks_no_more(signals: Any) -> None:
    signals.ending = True
    podman: Any = Podman(*[EngineError("busy")] * 2)
    with pytest.raises(CannotStart):
        runner._limits_work(podman, signals)
    assert len(podman.failures) == 1


URL = ("--orchestrator-url", "http://127.0.0.1:1", "--registration-token", "qbr_x")


def refused(folder: Path) -> str:
    """The one line with which a runner of this state directory does not start."""
    # a process of its own: it takes signals, and logs to its own standard error
    command = [sys.executable, "-m", "remote_runner", "pull", *URL, "--state-dir", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    (line,) = [each for each in ended.stderr.splitlines() if each.startswith("remote_runner: ")]
    return line


def test_a_state_directory_whose_id_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "runner_id").mkdir()
    line = refused(tmp_path)
    assert line == f"remote_runner: cannot use {tmp_path}: Is a directory; give another with --state-dir"
    (tmp_path / "runner_id").rmdir()
    with StateDir(tmp_path) as state:
        assert state.runner_id, "the lock was let go"


@pytest.mark.podman
def test_a_journal_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"nothing of SQLite's" * 1000)
    line = refused(tmp_path)
    assert line.startswith(f"remote_runner: {tmp_path}/journal.db cannot be opened: file is not a database; ")


def test_an_identity_is_written_when_it_changes_and_not_on_each_start(small_disk: Any) -> None:
    identity = Identity("http://x", "n1", "node-1", "qbn_1")
    with StateDir(small_disk.path / "state") as state:
        state.remember(identity)
        small_disk.fill()
        state.remember(identity)
        with pytest.raises(StateError, match=r"cannot write .*node\.json: No space left on device; make room"):
            state.remember(dataclasses.replace(identity, api_key="q" * 100_000))
        assert state.identity("http://x") == identity
