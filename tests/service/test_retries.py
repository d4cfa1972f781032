"""Another start: by the task's own policy, with its back-off; and by hand."""

from typing import Any

import pytest

from qb.contract.tasks import TaskCreate
from qb.domain.errors import Conflict, NotFound
from tests.service.conftest import ADMIN


async def test_each_further_start_waits_twice_as_long(plane: Any, clock: Any) -> None:
    node = await plane.node()
    task = await plane.task(max_attempts=3, backoff_seconds=30)
    for wait in (30, 60):
        assert await plane.done(node, "error", exit_code=1) == task
        assert (await plane.show(task))["status"] == "pending"
        clock.turn(wait - 1)
        await plane.scheduler.tick()
        assert await plane.poll(node) is None
        clock.turn(1)
        await plane.scheduler.tick()
    await plane.done(node, "error", exit_code=1)
    assert (await plane.show(task))["reason"] == "exit_nonzero"


async def test_only_reasons_that_are_worth_it_start_a_task_again(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task(max_attempts=3, retry_on=["launch_failed", "lease_expired"])
    await plane.done(node, "error", reason="launch_failed")
    assert (await plane.show(task))["status"] == "pending"
    await plane.done(node, "error", exit_code=1)
    shown = await plane.show(task)
    assert (shown["status"], shown["reason"], shown["attempt"]) == ("error", "exit_nonzero", 2)


async def test_a_lost_lease_obeys_the_policy_too(plane: Any, clock: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node, max_attempts=3, retry_on=["exit_nonzero"]))["task_id"]
    clock.turn(61)
    await plane.scheduler.tick()
    assert (await plane.show(task))["reason"] == "lease_expired"


async def test_a_delivery_that_was_lost_waits_for_no_back_off(plane: Any, clock: Any) -> None:
    node, other = await plane.node("one"), await plane.node("two")
    task = await plane.task(backoff_seconds=600)
    await plane.poll(node)
    clock.turn(16)
    await plane.scheduler.tick()
    assert (await plane.poll(other))["task_id"] == task


@pytest.mark.parametrize("reason", ["cancelled_by_operator", "expired", "verdict_missing"])
def test_reasons_that_are_never_retried_cannot_be_asked_for(reason: str) -> None:
    with pytest.raises(ValueError, match="never retried"):
        TaskCreate(prompt="x", retry_on=[reason])


async def test_a_task_that_no_node_took_in_time_expires(plane: Any, clock: Any) -> None:
    task = await plane.task(queue_timeout_seconds=60)
    clock.turn(59)
    await plane.scheduler.tick()
    assert (await plane.show(task))["status"] == "pending"
    clock.turn(1)
    await plane.scheduler.tick()
    shown = await plane.show(task)
    assert (shown["status"], shown["reason"]) == ("error", "expired")
    assert "12:01:00" in shown["error_message"]


async def test_the_queue_timeout_counts_from_the_time_that_a_task_is_scheduled_for(plane: Any, clock: Any) -> None:
    task = await plane.task(queue_timeout_seconds=60, scheduled_for=clock().replace(hour=13))
    clock.turn(3630)
    await plane.scheduler.tick()
    assert (await plane.show(task))["status"] == "pending"
    clock.turn(30)
    await plane.scheduler.tick()
    assert (await plane.show(task))["reason"] == "expired"


async def test_a_task_that_has_started_once_expires_no_more(plane: Any, clock: Any) -> None:
    node = await plane.node()
    task = await plane.task(queue_timeout_seconds=60, max_attempts=2, backoff_seconds=600)
    await plane.done(node, "error", exit_code=1)
    clock.turn(300)
    await plane.scheduler.tick()
    assert (await plane.show(task))["status"] == "pending"


async def test_a_task_that_expires_cancels_those_that_wait_for_it(plane: Any, clock: Any) -> None:
    task = await plane.task(queue_timeout_seconds=60)
    after = await plane.task(depends_on=[task], queue_timeout_seconds=60)
    clock.turn(61)
    await plane.scheduler.tick()
    assert (await plane.show(after))["status"] in ("cancelled", "error")


async def test_a_retry_by_hand_is_a_new_task_like_the_one_that_failed(plane: Any) -> None:
    node = await plane.node("box", tags={"site": "berlin"})
    asked = {"title": "T", "priority": 7, "target_tags": {"site": "berlin"}, "timeout_seconds": 77, "image": "i"}
    task = await plane.task("do it", max_attempts=1, **asked)
    await plane.done(node, "error", exit_code=3)
    again = await plane.tasks.retry(ADMIN, task)
    assert again["id"] != task
    assert (again["retry_of"], again["status"], again["prompt"]) == (task, "pending", "do it")
    assert {key: again[key] for key in asked} == asked
    assert (await plane.show(task))["status"] == "error", "terminal is sticky"
    assert await plane.done(node) == again["id"]


async def test_only_what_ended_without_success_is_retried_and_only_once(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task()
    with pytest.raises(Conflict, match="is pending"):
        await plane.tasks.retry(ADMIN, task)
    await plane.done(node)
    with pytest.raises(Conflict, match="has succeeded"):
        await plane.tasks.retry(ADMIN, task)
    failed = await plane.task()
    await plane.tasks.cancel(failed)
    again = await plane.tasks.retry(ADMIN, failed)
    with pytest.raises(Conflict, match=again["id"]):
        await plane.tasks.retry(ADMIN, failed)
    with pytest.raises(NotFound):
        await plane.tasks.retry(ADMIN, "nothing")
