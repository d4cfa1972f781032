"""Heartbeats that wait for news: a cancel, or a drain, reaches a node that polls at once."""

import asyncio
from typing import Any

import pytest

from qb.contract.nodes import Held
from qb.contract.states import NodeState, NodeStatus
from qb.domain.leases import DEADLINE_GRACE
from tests.service.conftest import OPERATOR, Plane

LONG = 20.0
"""Seconds that no test waits: what takes so long has failed."""

SOON = 5.0


async def waiting(plane: Plane, node: str, *held: Held, wait: float = LONG) -> asyncio.Task[dict[str, Any]]:
    """A heartbeat that waits for news: it has been taken in."""
    spoke = plane.registry.members[node].waits
    task = asyncio.create_task(plane.beat(node, *held, wait=wait))
    async with asyncio.timeout(SOON):
        while plane.registry.members[node].waits == spoke or not plane.core.hub.watched(node):  # noqa: ASYNC110 - so it does
            await asyncio.sleep(0)
    return task


async def answer(task: "asyncio.Task[dict[str, Any]]") -> dict[str, Any]:
    """Its reply, which must come soon."""
    async with asyncio.timeout(SOON):
        return await task


async def holding(plane: Plane) -> tuple[str, Held]:
    """A node and the attempt that it runs."""
    node = await plane.node()
    given = await plane.started(node)
    held = Held(task_id=given["task_id"], attempt=given["attempt"])
    await plane.beat(node, held)
    return node, held


async def test_a_cancel_is_told_at_once(plane: Plane) -> None:
    node, held = await holding(plane)
    beat = await waiting(plane, node, held)
    await plane.tasks.cancel(held.task_id)
    assert (await answer(beat))["cancel"] == [held.model_dump()]


async def test_a_cancel_of_a_group_is_told_at_once(plane: Plane) -> None:
    node = await plane.node()
    group = await plane.group()
    given = await plane.poll(node)
    assert given is not None
    held = Held(task_id=given["task_id"], attempt=given["attempt"])
    beat = await waiting(plane, node, held)
    await plane.groups.cancel(OPERATOR, group["id"])
    assert (await answer(beat))["cancel"] == [held.model_dump()]


async def test_a_drain_is_told_at_once_and_so_is_its_end(plane: Plane) -> None:
    node, held = await holding(plane)
    for state, drain in ((NodeState.DRAINING, True), (NodeState.ACTIVE, False)):
        beat = await waiting(plane, node, held)
        await plane.nodes.set_state(OPERATOR, node, state)
        reply = await answer(beat)
        assert (reply["drain"], reply["state"], reply["cancel"]) == (drain, state, [])


@pytest.mark.parametrize("ends", [{"timeout_seconds": 1}, {}])
async def test_so_is_the_end_of_an_attempt_that_time_brings(ends: dict[str, Any], plane: Plane) -> None:
    """Its deadline, or its lease."""
    node = await plane.node()
    given = await plane.started(node, **ends)
    held = Held(task_id=given["task_id"], attempt=given["attempt"])
    beat = await waiting(plane, node, held)
    await plane.core.writer.run(lambda db: None)  # the heartbeat's own work is done: it renews the lease no more
    plane.clock.turn(1 + DEADLINE_GRACE if ends else plane.registry.members[node].lease + 1)
    await plane.scheduler.tick()
    assert (await plane.show(held.task_id))["reason"] == ("timeout" if ends else "lease_expired")
    assert (await answer(beat))["cancel"] == [held.model_dump()]


async def test_what_was_told_before_ends_no_wait(plane: Plane) -> None:
    node, held = await holding(plane)
    await plane.tasks.cancel(held.task_id)
    assert (await answer(await waiting(plane, node, held)))["cancel"] == [held.model_dump()]
    again = await waiting(plane, node, held, wait=0.2)
    done, _ = await asyncio.wait([again], timeout=0.05)
    assert not done
    assert (await answer(again))["cancel"] == [held.model_dump()]


async def test_what_it_has_been_given_meanwhile_ends_the_wait(plane: Plane) -> None:
    """A cancel of that could not be told in the reply to a heartbeat that does not list it."""
    node, held = await holding(plane)
    await plane.tasks.cancel(held.task_id)
    assert (await answer(await waiting(plane, node, held)))["cancel"] == [held.model_dump()]
    beat = await waiting(plane, node, held)
    await plane.runner(node, held.task_id, "error", attempt=held.attempt)
    given = await plane.started(node)
    assert given["task_id"] != held.task_id
    await answer(beat)


async def test_that_an_order_is_done_ends_no_wait(plane: Plane) -> None:
    """A node that was answered for that would not listen while the next cancel comes."""
    node, held = await holding(plane)
    await plane.tasks.cancel(held.task_id)
    assert (await answer(await waiting(plane, node, held)))["cancel"] == [held.model_dump()]
    await plane.runner(node, held.task_id, "error", attempt=held.attempt)
    given = await plane.started(node)
    following = Held(task_id=given["task_id"], attempt=given["attempt"])
    beat = await waiting(plane, node, following)
    await plane.tasks.cancel(following.task_id)
    assert (await answer(beat))["cancel"] == [following.model_dump()]


async def test_a_newer_heartbeat_ends_one_that_waits(plane: Plane) -> None:
    node, held = await holding(plane)
    first = await waiting(plane, node, held)
    second = await waiting(plane, node, held)
    assert (await answer(first))["cancel"] == []
    await plane.tasks.cancel(held.task_id)
    assert (await answer(second))["cancel"] == [held.model_dump()]


async def test_it_counts_when_it_comes(plane: Plane) -> None:
    node, held = await holding(plane)
    plane.clock.turn(50)
    beat = await waiting(plane, node, held)
    async with asyncio.timeout(SOON):
        while plane.registry.members[node].last_seen != plane.clock():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    await plane.core.writer.run(lambda db: None)
    plane.clock.turn(50)
    await plane.scheduler.tick()
    assert (await plane.show(held.task_id))["status"] == "running"
    await plane.tasks.cancel(held.task_id)
    await answer(beat)


async def test_the_end_of_the_server_ends_it(plane: Plane) -> None:
    node, held = await holding(plane)
    beat = await waiting(plane, node, held)
    plane.core.stopping.set()
    plane.core.hub.publish_all()
    assert (await answer(beat))["cancel"] == []


async def test_a_node_that_is_removed_waits_no_more(plane: Plane) -> None:
    node, held = await holding(plane)
    beat = await waiting(plane, node, held)
    await plane.nodes.remove(OPERATOR, node, force=True)
    await answer(beat)


async def test_an_older_client_is_answered_at_once(plane: Plane) -> None:
    node = await plane.node(wire=1)
    async with asyncio.timeout(SOON):
        assert (await plane.beat(node, wait=LONG))["name"] == "box"


async def test_what_only_an_older_heartbeat_was_told_is_told_again(plane: Plane) -> None:
    node, held = await holding(plane)
    first = await waiting(plane, node, held)
    plane.registry.members[node].waits += 1  # a newer one has come, and the reply to the first is heard by nobody
    await plane.tasks.cancel(held.task_id)
    await answer(first)
    assert (await answer(await waiting(plane, node, held)))["cancel"] == [held.model_dump()]


async def shown(plane: Plane, node: str) -> tuple[str, str | None]:
    """The status and the task that people see of a node."""
    row = await plane.fleet.one(node)
    return row["status"], row["current_task_id"]


async def test_a_node_is_idle_as_soon_as_its_task_has_ended(plane: Plane) -> None:
    """Its next heartbeat that says so comes half a minute later, or never when the runner is stopped."""
    node, held = await holding(plane)
    await plane.beat(node, held, status=NodeStatus.BUSY, current_task_id=held.task_id)
    assert await shown(plane, node) == ("busy", held.task_id)
    await plane.runner(node, held.task_id, "success", attempt=held.attempt)
    assert await shown(plane, node) == ("idle", None)
    assert (await plane.fleet.stats())["idle_nodes"] == 1


async def test_a_heartbeat_that_lists_an_ended_task_still_makes_no_node_busy(plane: Plane) -> None:
    """It was on its way when the report was taken."""
    node, held = await holding(plane)
    await plane.runner(node, held.task_id, "success", attempt=held.attempt)
    await plane.beat(node, held, status=NodeStatus.BUSY, current_task_id=held.task_id)
    assert await shown(plane, node) == ("idle", None)


async def test_a_node_shows_the_other_task_that_it_holds_when_one_has_ended(plane: Plane) -> None:
    node = await plane.node(slots=2)
    first, second = await plane.started(node), await plane.started(node)
    held = [Held(task_id=each["task_id"], attempt=each["attempt"]) for each in (first, second)]
    await plane.beat(node, *held, status=NodeStatus.BUSY, current_task_id=first["task_id"])
    await plane.runner(node, first["task_id"], "success", attempt=first["attempt"])
    assert await shown(plane, node) == ("busy", second["task_id"])
    await plane.beat(node, *held, status=NodeStatus.BUSY, current_task_id=first["task_id"])
    assert await shown(plane, node) == ("busy", second["task_id"])


async def test_the_end_of_a_task_leaves_an_offline_node_offline(plane: Plane) -> None:
    node, held = await holding(plane)
    await plane.beat(node, held, status=NodeStatus.BUSY, current_task_id=held.task_id)
    plane.clock.turn(plane.registry.members[node].lease + 1)
    await plane.scheduler.tick()
    assert (await plane.show(held.task_id))["reason"] == "lease_expired"
    assert await shown(plane, node) == ("offline", None)
