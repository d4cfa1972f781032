"""Order among tasks: one runs after others have succeeded."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from qb.contract.routes import Caller
from qb.contract.tasks import TaskCreate
from qb.domain.errors import Invalid
from qb.service.credentials import Identity


async def test_a_task_runs_after_all_that_it_waits_for_have_succeeded(plane: Any) -> None:
    node = await plane.node()
    first, second = await plane.task(), await plane.task()
    last = await plane.task(depends_on=[first, second], priority=9)
    assert await plane.done(node) == first
    assert await plane.done(node) == second
    assert await plane.done(node) == last
    assert "dependencies_met" in await plane.kinds(last)


async def test_a_waiting_poll_gets_the_dependant_at_once(plane: Any) -> None:
    node, other = await plane.node("one"), await plane.node("two")
    first = await plane.task(target_node_name="one")
    last = await plane.task(depends_on=[first])
    poll = asyncio.create_task(plane.poll(other, wait=20))
    await asyncio.sleep(0)
    await plane.done(node)
    assert (await asyncio.wait_for(poll, 5))["task_id"] == last


@pytest.mark.parametrize("end", ["error", "cancelled"])
async def test_a_dependant_is_cancelled_with_the_task_that_failed_in_the_same_moment(plane: Any, end: str) -> None:
    node = await plane.node()
    first = await plane.task()
    second = await plane.task(depends_on=[first])
    third = await plane.task(depends_on=[second])
    if end == "error":
        await plane.done(node, "error", exit_code=1)
    else:
        await plane.tasks.cancel(first)
    for task in (second, third):
        shown = await plane.show(task)
        assert (shown["status"], shown["reason"]) == ("cancelled", "dependency_failed")
    assert first in (await plane.show(second))["error_message"]
    assert await plane.poll(node) is None


async def test_on_failure_run_starts_it_whatever_became_of_the_others(plane: Any) -> None:
    node = await plane.node()
    first, second = await plane.task(), await plane.task()
    after = await plane.task(depends_on=[first, second], on_failure="run")
    await plane.done(node, "error", exit_code=1)
    assert (await plane.show(after))["status"] == "pending"
    await plane.tasks.cancel(second)
    assert await plane.done(node) == after


async def test_a_retry_is_no_failure_yet(plane: Any) -> None:
    node = await plane.node()
    first = await plane.task(max_attempts=2)
    after = await plane.task(depends_on=[first])
    await plane.done(node, "error", exit_code=1)
    assert (await plane.show(after))["status"] == "pending"
    assert await plane.done(node) == first
    assert await plane.done(node) == after


async def test_what_has_succeeded_before_is_not_waited_for(plane: Any) -> None:
    node = await plane.node()
    first = await plane.task()
    await plane.done(node)
    after = await plane.task(depends_on=[first])
    assert await plane.done(node) == after


async def test_a_task_that_waits_for_one_that_had_failed_is_cancelled_as_it_is_made(plane: Any) -> None:
    first = await plane.task()
    await plane.tasks.cancel(first)
    shown = await plane.show(await plane.task(depends_on=[first]))
    assert (shown["status"], shown["reason"]) == ("cancelled", "dependency_failed")
    assert shown["depends_on"] == [first]
    assert (await plane.show(await plane.task(depends_on=[first], on_failure="run")))["status"] == "pending"


async def test_a_task_named_twice_is_waited_for_once(plane: Any) -> None:
    node = await plane.node()
    first = await plane.task()
    after = await plane.task(depends_on=[first, first])
    await plane.done(node)
    assert await plane.done(node) == after


async def test_an_unknown_or_foreign_task_cannot_be_waited_for(plane: Any) -> None:
    with pytest.raises(Invalid, match="depends_on: no task"):
        await plane.task(depends_on=[str(uuid4())])
    foreign = await plane.task()
    stranger = Identity(Caller.SCOPED, key_id="key-1", name="acme")
    with pytest.raises(Invalid, match="depends_on: no task"):
        await plane.tasks.create(stranger, TaskCreate(prompt="x", depends_on=[foreign]))


async def test_a_dependant_that_was_cancelled_stays_so(plane: Any) -> None:
    node = await plane.node()
    first = await plane.task()
    after = await plane.task(depends_on=[first])
    await plane.tasks.cancel(after)
    await plane.done(node)
    assert (await plane.show(after))["reason"] == "cancelled_by_operator"
    assert await plane.poll(node) is None


async def test_a_dependant_waits_for_its_own_time_too(plane: Any, clock: Any) -> None:
    node = await plane.node()
    first = await plane.task()
    after = await plane.task(depends_on=[first], scheduled_for=clock().replace(hour=13))
    await plane.done(node)
    assert await plane.poll(node) is None
    clock.turn(3601)
    await plane.scheduler.tick()
    assert await plane.done(node) == after


async def test_a_time_that_comes_first_does_not_start_what_waits_for_others(plane: Any, clock: Any) -> None:
    node = await plane.node()
    first = await plane.task(target_node_name="nobody")
    await plane.task(depends_on=[first], scheduled_for=clock().replace(hour=13))
    clock.turn(3601)
    await plane.scheduler.tick()
    assert await plane.poll(node) is None


async def test_a_long_chain_is_settled_in_one_go(plane: Any) -> None:
    chain = [await plane.task()]
    for _ in range(1500):
        chain.append(await plane.task(depends_on=[chain[-1]]))
    await plane.tasks.cancel(chain[0])
    assert (await plane.show(chain[-1]))["reason"] == "dependency_failed"
