"""Nodes that Ansible brings tasks to: between tasks, only a ping says that they are there."""

from collections.abc import Mapping
from typing import Any

import pytest

from qb.contract.nodes import NodeCreate
from qb.contract.push import Activity, PushStatus
from qb.contract.states import NodeDispatch, NodeMode, NodeState, NodeStatus
from qb.domain.pushing import PING_SECONDS
from qb.push.courier import Courier
from qb.push.transport import Begins, Outcome, PushNode, Sent
from tests.service.conftest import OPERATOR, HandClock, Plane


class Line:
    """A way to a node that answers every ping, and counts them."""

    def __init__(self) -> None:
        self.pings = 0

    async def healthy(self, node: PushNode) -> bool:
        """It is there."""
        self.pings += 1
        return True

    async def status(self, node: PushNode) -> PushStatus | None:
        """It holds nothing."""
        return PushStatus(status=Activity.IDLE, running=[])

    async def send(self, node: PushNode, assignment: Mapping[str, Any], begins: Begins | None = None) -> Sent:
        """It takes nothing."""
        return Sent(Outcome.REFUSED, "not asked for here")

    async def cancel(self, node: PushNode, task_id: str, attempt: int) -> bool:
        """It has heard."""
        return True

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def vault(plane: Plane) -> str:
    """A drained node that Ansible reaches; its id."""
    body = NodeCreate(name="vault", mode=NodeMode.PUSH, dispatch=NodeDispatch.ANSIBLE, address="192.0.2.7")
    node_id = str((await plane.nodes.create(OPERATOR, body))["id"])
    await plane.nodes.set_state(OPERATOR, node_id, NodeState.DRAINING)
    return node_id


def courier(plane: Plane, line: Line, node_id: str) -> Courier:
    return Courier(plane.core, plane.registry, plane.dispatch, plane.waiters, line, plane.registry.members[node_id])


async def test_a_drained_node_is_pinged_once_a_minute(plane: Plane, vault: str, clock: HandClock) -> None:
    line = Line()
    looking = courier(plane, line, vault)
    await looking.round()
    await looking.round()
    assert line.pings == 1
    clock.turn(PING_SECONDS)
    await looking.round()
    assert line.pings == 2
    await plane.scheduler.tick()
    assert plane.registry.members[vault].last_seen == clock()
    assert (await plane.fleet.one("vault"))["status"] == NodeStatus.IDLE


async def test_a_runner_that_ended_without_a_word_leaves_no_busy_node(plane: Plane, vault: str) -> None:
    await plane.beat(vault, status=NodeStatus.BUSY)
    assert (await plane.fleet.one("vault"))["status"] == NodeStatus.BUSY
    await courier(plane, Line(), vault).round()
    assert (await plane.fleet.one("vault"))["status"] == NodeStatus.IDLE


class LongQueue(Line):
    """A way where each task waits `seconds` for its turn, and its node then says nothing for as long."""

    def __init__(self, plane: Plane, clock: HandClock, seconds: float) -> None:
        super().__init__()
        self._plane, self._clock, self._seconds = plane, clock, seconds
        self.wanted: bool | None = None
        self.held = ""

    async def send(self, node: PushNode, assignment: Mapping[str, Any], begins: Begins | None = None) -> Sent:
        """Wait, ask, and wait once more."""
        assert begins is not None
        await self._pass()
        self.wanted = await begins()
        await self._pass()
        self.held = (await self._plane.show(assignment["task_id"]))["status"]
        return Sent(Outcome.STARTED) if self.wanted else Sent(Outcome.REFUSED, "too late")

    async def _pass(self) -> None:
        self._clock.turn(self._seconds)
        await self._plane.scheduler.tick()


@pytest.mark.parametrize(("share", "wanted", "held"), [(0.7, True, "assigned"), (1.2, False, "pending")])
async def test_a_task_that_waits_its_turn_has_a_full_lease_when_it_comes_or_is_not_brought(
    plane: Plane, vault: str, clock: HandClock, share: float, wanted: bool, held: str
) -> None:
    await plane.nodes.set_state(OPERATOR, vault, NodeState.ACTIVE)
    await plane.task(max_attempts=2)
    line = LongQueue(plane, clock, share * plane.registry.members[vault].lease)
    await courier(plane, line, vault).round()
    assert (line.wanted, line.held) == (wanted, held)
