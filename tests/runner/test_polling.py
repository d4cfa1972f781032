"""How often a pull runner asks: seldom while nobody answers, without a pause as soon as somebody does."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from qb.client import Unreachable
from remote_runner import pull

INTERVAL, LONG_POLL = 30.0, 25.0


class Orchestrator:
    """Away for so many seconds; then it holds each poll as long as it may. Its clock is the runner's, too."""

    def __init__(self, outage: float, stop: "Waits") -> None:
        self._outage, self._stop = outage, stop
        self.polls: list[float] = []

    def poll(self, *, wait: float, held: str) -> None:
        if self._stop.now < self._outage:
            raise Unreachable("connection refused")
        self.polls.append(self._stop.now)
        self._stop.now += LONG_POLL
        if len(self.polls) == 3:
            self._stop.set()


class Waits(threading.Event):
    """A clock that waiting moves on."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        self.now += timeout or 0
        return self.is_set()


@pytest.mark.parametrize("outage", [10.0, 3600.0, 3 * 24 * 3600.0])
def test_after_an_outage_of_any_length_it_is_at_full_speed_within_one_poll(
    outage: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Waits()
    orchestrator = Orchestrator(outage, stop)
    monkeypatch.setattr(pull, "time", SimpleNamespace(monotonic=lambda: stop.now))
    tools: Any = SimpleNamespace(
        config=SimpleNamespace(poll_interval=INTERVAL),
        stop=stop,
        membership=SimpleNamespace(key="qbn_key"),
        client=orchestrator,
        journal=SimpleNamespace(held=list),
    )
    intake: Any = SimpleNamespace(wait_ready=lambda _: True)
    pull.poll(tools, intake)
    first, second, third = orchestrator.polls
    assert first <= outage + INTERVAL
    assert (second - first, third - second) == pytest.approx((LONG_POLL, LONG_POLL)), "no pause between polls"
    assert max(stop.waits) <= INTERVAL
    longest = stop.waits[8:]
    assert len(set(longest)) == len(longest), "nodes don't march in step"
