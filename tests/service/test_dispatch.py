"""Claims, leases, lost replies and lost pollers."""

import asyncio
import dataclasses
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from qb.contract.nodes import Held, Register
from qb.contract.states import NodeState
from qb.domain.errors import Conflict
from tests.service.conftest import OPERATOR, Token


def held(assignment: dict[str, Any]) -> Held:
    return Held(task_id=assignment["task_id"], attempt=assignment["attempt"])


async def test_a_poll_claims_the_first_task_by_priority_then_age(plane: Any) -> None:
    node = await plane.node(slots=3)
    low, high, second = await plane.task(), await plane.task(priority=5), await plane.task()
    order = []
    mine: list[Held] = []
    for _ in range(3):
        assignment = await plane.poll(node, *mine)
        order.append(assignment["task_id"])
        mine.append(held(assignment))
    assert order == [high, low, second]
    assert await plane.poll(node, *mine) is None


async def test_an_assignment_carries_all_that_a_runner_needs(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task("summarise", timeout_seconds=60)
    assignment = await plane.poll(node)
    assert assignment["task_id"] == task
    assert assignment["attempt"] == 1
    assert assignment["prompt"] == "summarise"
    assert assignment["orchestrator_url"] == "http://qb.example:8000"
    assert assignment["agent_url"] == "http://host.containers.internal:8000"
    assert assignment["timeout_seconds"] == 60
    assert assignment["task_token"].startswith("qbt_")


@pytest.mark.parametrize(
    "target",
    [
        {"target_node_name": "other-*"},
        {"target_tags": {"region": "eu"}},
        {"capabilities": ["gpu"]},
        {"limits": {"memory_mb": 64}},
    ],
)
async def test_a_task_for_others_is_left_to_them(plane: Any, target: dict[str, Any]) -> None:
    node = await plane.node("box")
    await plane.task(**target)
    assert await plane.poll(node) is None
    match = await plane.node("other-1", tags={"region": "eu"}, capabilities=["gpu"], limits=True)
    assert await plane.poll(match) is not None


async def test_a_node_that_joins_later_takes_what_waits_for_its_name(plane: Any) -> None:
    task = await plane.task(target_node_name="late-*")
    node = await plane.node("late-1")
    assert (await plane.poll(node))["task_id"] == task


async def test_a_node_takes_no_more_than_its_slots(plane: Any) -> None:
    node = await plane.node(slots=1)
    await plane.task()
    await plane.task()
    first = await plane.poll(node)
    assert await plane.poll(node, held(first)) is None


async def test_a_draining_node_claims_nothing_until_resumed(plane: Any) -> None:
    node = await plane.node()
    await plane.nodes.set_state(OPERATOR, node, NodeState.DRAINING)
    await plane.task()
    assert await plane.poll(node) is None
    assert (await plane.beat(node))["drain"] is True
    await plane.nodes.set_state(OPERATOR, node, NodeState.ACTIVE)
    assert await plane.poll(node) is not None


async def test_a_waiting_poll_is_woken_by_the_task_that_it_may_run(plane: Any) -> None:
    node = await plane.node()
    poll = asyncio.create_task(plane.poll(node, wait=20))
    await asyncio.sleep(0)
    task = await plane.task()
    assert (await asyncio.wait_for(poll, 5))["task_id"] == task


async def test_a_new_poll_of_a_node_ends_its_older_one(plane: Any) -> None:
    node = await plane.node()
    older = asyncio.create_task(plane.poll(node, wait=20))
    await asyncio.sleep(0)
    newer = asyncio.create_task(plane.poll(node, wait=20))
    assert await asyncio.wait_for(older, 5) is None
    task = await plane.task()
    assert (await asyncio.wait_for(newer, 5))["task_id"] == task


async def test_a_poller_that_has_gone_swallows_no_task(plane: Any, poller: Any) -> None:
    node, other = await plane.node("gone"), await plane.node("here")
    task = await plane.task()
    poller.left.set()
    assert await plane.dispatch.poll(node, wait=0, held=[], line=poller) is None
    assignment = await plane.poll(other)
    assert assignment["task_id"] == task
    assert (await plane.show(task))["assigned_node_name"] == "here"


async def test_a_poller_that_leaves_during_the_claim_gives_the_task_back(plane: Any, poller: Any) -> None:
    node = await plane.node("gone")
    task = await plane.task()
    original = plane.core.writer.run

    async def run(work: Any) -> Any:
        result = await original(work)
        poller.left.set()
        return result

    dispatch = type(plane.dispatch)(_with_writer(plane.core, run), plane.registry, plane.waiters)
    assert await dispatch.poll(node, wait=0, held=[], line=poller) is None
    assert (await plane.show(task))["status"] == "pending"
    assert "released" in await plane.kinds(task)


async def test_a_node_that_looked_in_vain_looks_again_only_when_a_task_may_wait(plane: Any) -> None:
    node, jobs = await plane.node(), plane.core.writer
    assert await plane.poll(node) is None
    before = jobs.jobs
    assert await plane.poll(node) is None
    assert jobs.jobs == before
    task = await plane.task()
    assert (await plane.poll(node))["task_id"] == task


async def test_a_task_whose_time_has_come_is_found_by_a_node_that_looked_in_vain(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task(scheduled_for=plane.clock.now + timedelta(minutes=1))
    assert await plane.poll(node) is None
    plane.clock.turn(61)
    await plane.scheduler.tick()
    assert (await plane.poll(node))["task_id"] == task


def _with_writer(core: Any, run: Any) -> Any:
    """The same core over a writer that lets the test see the moment after a commit."""
    return dataclasses.replace(core, writer=SimpleNamespace(run=run))


async def test_a_lost_reply_is_delivered_again_as_the_same_attempt(plane: Any) -> None:
    node = await plane.node()
    await plane.task()
    first = await plane.poll(node)
    again = await plane.poll(node)
    assert (again["task_id"], again["attempt"]) == (first["task_id"], first["attempt"])


async def test_an_attempt_is_delivered_three_times_at_most(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task()
    for _ in range(3):
        assert await plane.poll(node) is not None
    assert await plane.poll(node) is None
    shown = await plane.show(task)
    assert (shown["status"], shown["reason"]) == ("error", "undeliverable")


async def test_an_unacknowledged_assignment_goes_to_another_node_after_15_seconds(plane: Any, clock: Any) -> None:
    lost, other = await plane.node("lost"), await plane.node("other")
    task = await plane.task()
    assert await plane.poll(lost) is not None
    clock.turn(14)
    await plane.scheduler.tick()
    assert (await plane.show(task))["status"] == "assigned"
    clock.turn(2)
    await plane.scheduler.tick()
    second = await plane.poll(other)
    assert (second["task_id"], second["attempt"]) == (task, 2)


async def test_heartbeats_that_list_the_attempt_keep_the_lease(plane: Any, clock: Any) -> None:
    node = await plane.node()
    assignment = await plane.started(node)
    for _ in range(10):
        clock.turn(30)
        await plane.beat(node, held(assignment))
        await plane.scheduler.tick()
    assert (await plane.show(assignment["task_id"]))["status"] == "running"


async def test_a_started_task_whose_node_falls_silent_fails_and_is_not_started_again(plane: Any, clock: Any) -> None:
    node = await plane.node()
    assignment = await plane.started(node)
    clock.turn(61)
    await plane.scheduler.tick()
    shown = await plane.show(assignment["task_id"])
    assert (shown["status"], shown["reason"]) == ("error", "lease_expired")


async def test_a_started_task_is_started_again_where_its_creator_allowed_it(plane: Any, clock: Any) -> None:
    node = await plane.node()
    assignment = await plane.started(node, max_attempts=2)
    clock.turn(61)
    await plane.scheduler.tick()
    again = await plane.poll(node)
    assert (again["task_id"], again["attempt"]) == (assignment["task_id"], 2)
    await plane.runner(node, again["task_id"], "running", attempt=2)
    clock.turn(61)
    await plane.scheduler.tick()
    assert (await plane.show(again["task_id"]))["reason"] == "lease_expired"


async def test_the_server_has_its_own_deadline(plane: Any, clock: Any) -> None:
    node = await plane.node()
    assignment = await plane.started(node, timeout_seconds=10)
    for _ in range(5):
        clock.turn(30)
        await plane.beat(node, held(assignment))
        await plane.scheduler.tick()
    shown = await plane.show(assignment["task_id"])
    assert (shown["status"], shown["reason"]) == ("error", "timeout")


async def test_after_a_restart_every_live_lease_gets_a_full_term(plane: Any, clock: Any, reopen: Any) -> None:
    node = await plane.node()
    assignment = await plane.started(node)
    clock.turn(3600)
    plane = await reopen(plane)
    await plane.scheduler.tick()
    assert (await plane.show(assignment["task_id"]))["status"] == "running"
    await plane.beat(node, held(assignment))
    await plane.runner(node, assignment["task_id"], "success", attempt=1, exit_code=0)
    assert (await plane.show(assignment["task_id"]))["status"] == "success"
    plane.core.readers.close()
    plane.core.writer.close()


async def test_a_scheduled_task_waits_for_its_time(plane: Any, clock: Any) -> None:
    node = await plane.node()
    soon = clock().replace(hour=13)
    await plane.task(scheduled_for=soon)
    assert await plane.poll(node) is None
    clock.turn(3601)
    await plane.scheduler.tick()
    assert await plane.poll(node) is not None


async def test_a_silent_node_is_shown_offline_and_comes_back_by_speaking(plane: Any, clock: Any) -> None:
    node = await plane.node()
    clock.turn(46)
    await plane.scheduler.tick()
    assert (await plane.fleet.one(node))["status"] == "offline"
    await plane.beat(node)
    assert (await plane.fleet.one(node))["status"] == "idle"


async def test_a_name_that_joined_with_another_token_cannot_be_taken_over(plane: Any) -> None:
    await plane.node("box")
    other = Token("token-2")
    with pytest.raises(Conflict):
        await plane.node("box", token=other)


async def test_a_node_that_returns_with_its_own_key_keeps_it_and_with_a_token_gets_a_new_one(plane: Any) -> None:
    node = await plane.node("box")
    first = plane.core.credentials.node_key(node, 1)
    own = plane.core.credentials.identify(first)
    body = Register(hostname="box", wire=2)
    assert (await plane.fleet.register(own, body, None))["api_key"] == first
    await plane.node("box")
    assert plane.core.credentials.identify(first).current is False


async def test_a_poll_that_waits_with_every_slot_taken_gets_the_next_task_when_one_ends(plane: Any) -> None:
    node = await plane.node(slots=1)
    given = await plane.started(node)
    following = await plane.task()
    held = Held(task_id=given["task_id"], attempt=given["attempt"])
    poll = asyncio.create_task(plane.poll(node, held, wait=20))
    async with asyncio.timeout(5):
        while not len(plane.waiters):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        await plane.core.writer.run(lambda db: None)
        await plane.runner(node, given["task_id"], "success", attempt=given["attempt"])
        assignment = await poll
    assert assignment is not None
    assert assignment["task_id"] == following
