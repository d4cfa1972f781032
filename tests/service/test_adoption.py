"""After a restore: no attempt's number is given out twice, and what nodes hold is settled by their heartbeats."""

from typing import Any

import pytest

from qb.contract.nodes import Held
from qb.contract.states import NodeStatus
from qb.domain.epochs import SETTLE, STEP
from qb.domain.errors import NotFound, StorageFull
from qb.domain.times import after
from qb.service import fleet
from qb.service.why import why
from tests.service.conftest import ADMIN, HandClock, Plane, close_plane, nothing


async def test_what_a_node_was_given_in_the_lost_time_goes_on_there(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node, task = await plane.node(), await plane.task(max_attempts=3)

    async def begin() -> int:
        given = await plane.poll(node)
        assert given is not None
        await plane.runner(node, task, "running", attempt=given["attempt"])
        return int(given["attempt"])

    restored, attempt = await to_yesterday(plane, begin)
    assert (await restored.show(task))["status"] == "pending"
    reply = await restored.beat(node, Held(task_id=task, attempt=attempt), status=NodeStatus.BUSY)
    assert reply["cancel"] == []
    shown = await restored.show(task)
    assert (shown["status"], shown["attempt"], shown["assigned_node_id"]) == ("running", attempt, node)
    assert (await restored.kinds(task))[-1] == "adopted"
    done = await restored.runner(node, task, "success", attempt=attempt, exit_code=0)
    assert done["status"] == "success"
    close_plane(restored)


async def test_pending_tasks_wait_for_their_nodes_to_speak_and_get_fresh_numbers(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node = await plane.node()
    await plane.task()

    async def claim() -> int:
        given = await plane.poll(node)
        assert given is not None
        return int(given["attempt"])

    restored, lost = await to_yesterday(plane, claim)
    assert lost == 1
    assert await restored.poll(node) is None
    await restored.scheduler.tick()
    assert await restored.poll(node) is None
    clock.turn(SETTLE + 1)
    await restored.scheduler.tick()
    given = await restored.poll(node)
    assert given is not None
    assert given["attempt"] == STEP + 1
    fresh = await restored.task()
    other = await restored.node("other")
    assert (await restored.poll(other) or {})["task_id"] == fresh, "what is new need not wait"
    close_plane(restored)


async def test_what_fell_due_or_expired_in_the_lost_time_waits_for_its_node_too(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node, other = await plane.node(), await plane.node("other")
    retried = (await plane.started(other, max_attempts=2, backoff_seconds=60))["task_id"]
    await plane.runner(other, retried, "error", attempt=1, exit_code=1)
    planned = await plane.task(scheduled_for=clock().replace(minute=1))
    short = await plane.task(queue_timeout_seconds=60)
    unwanted = await plane.task(queue_timeout_seconds=60, target_node_name="nowhere")

    async def claim() -> int:
        given = await plane.poll(node)
        assert given is not None
        assert given["task_id"] == short
        clock.turn(600)
        return int(given["attempt"])

    restored, attempt = await to_yesterday(plane, claim)
    await restored.scheduler.tick()
    assert {(await restored.show(task))["status"] for task in (retried, planned, short, unwanted)} == {"pending"}
    assert await restored.poll(other) is None, "a node may hold it"
    clock.turn(15)
    assert (await restored.beat(node, Held(task_id=short, attempt=attempt)))["cancel"] == []
    clock.turn(SETTLE - 15)
    await restored.beat(node, Held(task_id=short, attempt=attempt))
    await restored.scheduler.tick()
    assert (await restored.show(short))["status"] == "running"
    ended = await restored.show(unwanted)
    assert (ended["status"], ended["reason"]) == ("error", "expired")
    taken = [(await restored.poll(each) or {}).get("task_id") for each in (other, await restored.node("third"))]
    assert taken == [retried, planned]
    close_plane(restored)


async def test_what_comes_due_later_keeps_its_time(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    task = await plane.task(scheduled_for=clock().replace(hour=13), queue_timeout_seconds=60)
    before = await plane.show(task)
    restored, _ = await to_yesterday(plane, nothing)
    assert await restored.show(task) == before
    close_plane(restored)


async def test_a_schedule_still_never_runs_itself(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node = await plane.node()
    await plane.task(recurrence="0 13 * * *")
    restored, _ = await to_yesterday(plane, nothing)
    clock.turn(SETTLE + 1)
    await restored.scheduler.tick()
    assert await restored.poll(node) is None
    close_plane(restored)


async def test_a_second_start_holds_nothing_back(
    plane: Plane, to_yesterday: Any, clock: HandClock, reopen: Any
) -> None:
    node = await plane.node()

    async def nothing() -> None:
        return None

    restored, _ = await to_yesterday(plane, nothing)
    task = await restored.task()
    again = await reopen(restored)
    assert (await again.poll(node) or {})["task_id"] == task
    close_plane(again)


async def test_a_live_attempt_that_its_node_still_lists_keeps_its_lease_and_another_ends(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    keeps, lost = await plane.node("keeps"), await plane.node("lost")
    kept = (await plane.started(keeps))["task_id"]
    gone = (await plane.started(lost))["task_id"]

    async def nothing() -> None:
        return None

    restored, _ = await to_yesterday(plane, nothing)
    for _ in range(6):
        clock.turn(15)
        await restored.beat(keeps, Held(task_id=kept, attempt=1))
        await restored.beat(lost)
        await restored.scheduler.tick()
    assert (await restored.show(kept))["status"] == "running"
    ended = await restored.show(gone)
    assert (ended["status"], ended["reason"]) == ("error", "lease_expired")
    close_plane(restored)


async def test_a_report_about_an_attempt_of_the_lost_time_counts(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node, task = await plane.node(), await plane.task()

    async def begin() -> None:
        await plane.poll(node)

    restored, _ = await to_yesterday(plane, begin)
    done = await restored.runner(node, task, "success", attempt=1, exit_code=0)
    assert (done["status"], done["attempt"]) == ("success", 1)
    close_plane(restored)


async def test_the_newer_of_two_attempts_is_the_authoritative_one(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    first, second = await plane.node("first"), await plane.node("second")
    task = (await plane.started(first, max_attempts=3))["task_id"]

    async def again() -> None:
        await plane.runner(first, task, "error", attempt=1, exit_code=1)
        await plane.poll(second)

    restored, _ = await to_yesterday(plane, again)
    await restored.beat(second, Held(task_id=task, attempt=2))
    shown = await restored.show(task)
    assert (shown["attempt"], shown["assigned_node_id"]) == (2, second)
    reply = await restored.beat(first, Held(task_id=task, attempt=1))
    assert reply["cancel"] == [{"task_id": task, "attempt": 1}]
    close_plane(restored)


async def test_a_task_that_the_database_never_knew_is_dropped(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node = await plane.node()

    async def make() -> str:
        return str((await plane.started(node))["task_id"])

    restored, task = await to_yesterday(plane, make)
    reply = await restored.beat(node, Held(task_id=task, attempt=1))
    assert reply["cancel"] == [{"task_id": task, "attempt": 1}]
    close_plane(restored)


async def test_it_goes_on_where_the_server_started_on_a_full_disk(
    plane: Plane, to_yesterday: Any, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, task = await plane.node(), await plane.task()

    async def full(*_: Any) -> None:
        raise StorageFull("no room")

    async def begin() -> None:
        assert await plane.poll(node) is not None
        monkeypatch.setattr(fleet, "give_full_terms", full)

    restored, _ = await to_yesterday(plane, begin)
    clock.turn(1)
    assert (await restored.beat(node, Held(task_id=task, attempt=1)))["cancel"] == []
    assert (await restored.show(task))["status"] == "running"
    await refused(restored, node, await restored.task())
    close_plane(restored)


@pytest.mark.parametrize("target", ["box", "other"])
async def test_a_task_made_after_the_restore_is_taken_over_by_nobody(
    target: str, plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node = await plane.node()
    restored, _ = await to_yesterday(plane, nothing)
    clock.turn(1)
    task = await restored.task(target_node_name=target)
    await refused(restored, node, task)
    close_plane(restored)


async def test_nor_is_one_that_the_node_may_not_run(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node, task = await plane.node(), await plane.task(target_node_name="other")
    restored, _ = await to_yesterday(plane, nothing)
    await refused(restored, node, task)
    close_plane(restored)


async def test_nor_is_a_schedule(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node, schedule = await plane.node(), await plane.task(recurrence="0 13 * * *")
    restored, _ = await to_yesterday(plane, nothing)
    await refused(restored, node, schedule)
    close_plane(restored)


async def refused(plane: Plane, node: str, task: str) -> None:
    """The node lists a first attempt, and reports on it: it is told to end it, and nothing comes of it."""
    before = await plane.show(task)
    assert (await plane.beat(node, Held(task_id=task, attempt=1)))["cancel"] == [{"task_id": task, "attempt": 1}]
    with pytest.raises(NotFound):
        await plane.runner(node, task, "success", attempt=1, exit_code=0)
    assert await plane.show(task) == before


async def test_without_a_restore_nobody_can_take_a_task_by_listing_it(plane: Plane) -> None:
    node, task = await plane.node(), await plane.task()
    reply = await plane.beat(node, Held(task_id=task, attempt=7))
    assert reply["cancel"] == [{"task_id": task, "attempt": 7}]
    with pytest.raises(NotFound):
        await plane.runner(node, task, "success", attempt=7, exit_code=0)
    assert (await plane.show(task))["status"] == "pending"


async def test_nor_with_a_number_of_the_new_epoch(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node, task = await plane.node(), await plane.task()

    async def nothing() -> None:
        return None

    restored, _ = await to_yesterday(plane, nothing)
    await restored.beat(node, Held(task_id=task, attempt=STEP + 1))
    assert (await restored.show(task))["status"] == "pending"
    close_plane(restored)


async def test_why_says_that_a_task_waits_for_its_nodes_after_a_restore(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    await plane.node()
    task = await plane.task()
    restored, _ = await to_yesterday(plane, nothing)
    told = await why(restored.core, restored.registry, ADMIN, task)
    until = after(clock(), SETTLE)
    text = f"the control plane was restored from a backup: until {until} a node may say that it holds it"
    assert told["causes"] == [{"code": "restored", "text": text}]
    clock.turn(SETTLE + 1)
    await restored.scheduler.tick()
    assert [each["code"] for each in (await why(restored.core, restored.registry, ADMIN, task))["causes"]] != [
        "restored"
    ]
    close_plane(restored)
