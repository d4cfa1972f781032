"""How often a node speaks: a server is told by whatever the node sends that it lives."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

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
    sent: list[Heartbeat] = []

    def heartbeat(said: Heartbeat) -> HeartbeatReply:
        sent.append(said)
        return HeartbeatReply.model_construct(cancel=[], drain=drain, lease_seconds=60)

    tools: Any = SimpleNamespace(
        config=SimpleNamespace(mode=mode, heartbeat_interval=15.0),
        stop=Rounds(),
        client=SimpleNamespace(heartbeat=heartbeat),
        membership=SimpleNamespace(key="qbn_key"),
        journal=SimpleNamespace(held=lambda: list(held)),
        logs=path,
    )
    intake: Any = SimpleNamespace(draining=threading.Event(), cancel=lambda key: None)
    beat(tools, intake)
    return len(sent)


def test_an_idle_node_that_polls_lets_every_second_heartbeat_go(tmp_path: Any) -> None:
    assert beats(tmp_path) == ROUNDS // 2


@pytest.mark.parametrize(
    "case",
    [{"held": (Key("2f6c3a52-7f0a-4f9e-9a80-1c2b3d4e5f60", 1),)}, {"mode": "push"}, {"drain": True}],
    ids=["holds an attempt", "does not poll", "drains"],
)
def test_a_node_that_holds_something_or_does_not_poll_sends_every_heartbeat(tmp_path: Any, case: Any) -> None:
    assert beats(tmp_path, **case) == ROUNDS
