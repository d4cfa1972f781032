"""What a runner asks of podman when it starts."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from remote_runner import runner
from remote_runner.errors import CannotStart
from remote_runner.podman_api import EngineError, EngineUnavailable


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
