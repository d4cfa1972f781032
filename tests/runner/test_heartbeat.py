"""How often a node speaks: a server is told by whatever the node sends that it lives."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from qb.client import Unreachable
from qb.contract.nodes import Heartbeat, HeartbeatReply
from remote_runner.heartbeat import beat
from remote_runner.records import Key

ROUNDS = 6


class Rounds(threading.Event):
    """Tells to stop after so many waits, and waits for none of them."""

    left = ROUNDS

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        if not self.left:
            self.set()
        return self.is_set()


def beats(path: Any, *, mode: str = "pull", held: tuple[Key, ...] = (), drain: bool = False) -> int:
    """How many heartbeats a node sends in six rounds."""
    return len(sent_by(path, mode=mode, held=held, drain=drain))


def sent_by(
    path: Any, *, mode: str = "pull", held: tuple[Key, ...] = (), drain: bool = False, unheard: int = 0
) -> list[Heartbeat]:
    """The heartbeats of six rounds, of which the first `unheard` have no answer."""
    sent: list[Heartbeat] = []

    def heartbeat(said: Heartbeat) -> HeartbeatReply:
        sent.append(said)
        if len(sent) <= unheard:
            raise Unreachable("no answer")
        return HeartbeatReply.model_construct(cancel=[], drain=drain, lease_seconds=60)

    tools: Any = SimpleNamespace(
        config=SimpleNamespace(mode=mode, heartbeat_interval=15.0),
        stop=Rounds(),
        client=SimpleNamespace(heartbeat=heartbeat),
        membership=SimpleNamespace(key="qbn_key"),
        journal=SimpleNamespace(held=lambda: list(held)),
        logs=path,
    )
    taken = SimpleNamespace(wait=tools.stop.wait, clear=lambda: None)
    intake: Any = SimpleNamespace(draining=threading.Event(), taken=taken, cancel=lambda key: None)
    beat(tools, intake)
    return sent


def test_an_idle_node_that_polls_lets_every_second_heartbeat_go(tmp_path: Any) -> None:
    assert beats(tmp_path) == ROUNDS // 2


HELD = (Key("2f6c3a52-7f0a-4f9e-9a80-1c2b3d4e5f60", 1),)


@pytest.mark.parametrize(
    "case",
    [{"held": HELD}, {"mode": "push"}, {"drain": True}],
    ids=["holds an attempt", "does not poll", "drains"],
)
def test_a_node_that_holds_something_or_does_not_poll_sends_every_heartbeat(tmp_path: Any, case: Any) -> None:
    assert beats(tmp_path, **case) == ROUNDS


def test_a_node_that_holds_something_waits_for_news_once_it_has_been_answered(tmp_path: Any) -> None:
    assert [said.wait for said in sent_by(tmp_path, held=HELD)] == [None] + [15.0] * (ROUNDS - 1)


def test_after_a_heartbeat_without_an_answer_it_asks_for_the_next_one_at_once(tmp_path: Any) -> None:
    assert [said.wait for said in sent_by(tmp_path, held=HELD, unheard=2)] == [None] * 3 + [15.0] * (ROUNDS - 3)


@pytest.mark.parametrize("case", [{"mode": "push", "held": HELD}, {}], ids=["is pushed to", "holds nothing"])
def test_who_need_not_wait_for_a_cancel_does_not(tmp_path: Any, case: Any) -> None:
    assert {said.wait for said in sent_by(tmp_path, **case)} == {None}
