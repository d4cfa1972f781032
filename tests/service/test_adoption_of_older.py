"""After a restore: what older nodes hold goes on there; they name their task, and no attempt."""

from typing import Any

import pytest

from qb.contract.nodes import Held
from qb.contract.states import NodeStatus
from qb.domain.epochs import SETTLE, STEP
from qb.domain.errors import NotFound
from tests.service.conftest import HandClock, Plane, close_plane, nothing


async def took(plane: Plane, node: str) -> Any:
    """The older node takes the next task in the time that is lost."""

    async def claim() -> None:
        assert await plane.poll(node) is not None

    return claim


async def test_what_an_older_node_runs_goes_on_there(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node, task = await plane.node("old", wire=1), await plane.task(max_attempts=3)
    restored, _ = await to_yesterday(plane, await took(plane, node))
    await restored.beat(node, status=NodeStatus.BUSY, current_task_id=task)
    shown = await restored.show(task)
    assert (shown["status"], shown["attempt"], shown["assigned_node_id"]) == ("running", STEP, node)
    clock.turn(SETTLE + 1)
    await restored.scheduler.tick()
    assert await restored.poll(await restored.node("other")) is None
    done = await restored.runner(node, task, "success")
    assert (done["status"], done["attempt"]) == ("success", STEP)
    close_plane(restored)


async def test_so_does_what_its_verdict_is_the_first_word_of(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node, task = await plane.node("old", wire=1), await plane.task(max_attempts=3)
    restored, _ = await to_yesterday(plane, await took(plane, node))
    assert (await restored.runner(node, task, "error"))["status"] == "pending", "another start was allowed"
    assert (await restored.kinds(task))[-2:] == ["adopted", "failed"]
    close_plane(restored)


async def test_what_an_older_node_took_over_from_another_goes_on_there(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    first, old = await plane.node("first"), await plane.node("old", wire=1)
    task = (await plane.started(first, max_attempts=3))["task_id"]

    async def again() -> None:
        await plane.runner(first, task, "error", attempt=1, exit_code=1)
        assert await plane.poll(old) is not None

    restored, _ = await to_yesterday(plane, again)
    await restored.beat(old, status=NodeStatus.BUSY, current_task_id=task)
    shown = await restored.show(task)
    assert (shown["attempt"], shown["assigned_node_id"]) == (STEP, old)
    assert (await restored.beat(first, Held(task_id=task, attempt=1)))["cancel"] == [{"task_id": task, "attempt": 1}]
    close_plane(restored)


async def unmoved(plane: Plane, node: str, task: str) -> None:
    """The older node's words make nothing of the task."""
    before = await plane.show(task)
    await plane.beat(node, status=NodeStatus.BUSY, current_task_id=task)
    with pytest.raises(NotFound):
        await plane.runner(node, task, "success")
    assert await plane.show(task) == before


async def test_an_older_node_cannot_take_what_it_may_not_run(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node, task = await plane.node("old", wire=1), await plane.task(target_node_name="other")
    restored, _ = await to_yesterday(plane, nothing)
    await unmoved(restored, node, task)
    close_plane(restored)


async def test_nor_what_was_made_after_the_restore(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node = await plane.node("old", wire=1)
    restored, _ = await to_yesterday(plane, nothing)
    clock.turn(1)
    await unmoved(restored, node, await restored.task(target_node_name="o*"))
    close_plane(restored)


async def test_nor_anything_without_a_restore(plane: Plane) -> None:
    await unmoved(plane, await plane.node("old", wire=1), await plane.task())


async def test_an_older_nodes_word_on_an_attempt_that_is_known_stays_about_that_one(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node, task = await plane.node("old", wire=1), await plane.task(max_attempts=2)
    assert await plane.poll(node) is not None
    await plane.beat(node, status=NodeStatus.BUSY)
    await plane.runner(node, task, "error")
    restored, _ = await to_yesterday(plane, nothing)
    await restored.beat(node, status=NodeStatus.BUSY, current_task_id=task)
    assert ((await restored.show(task))["status"], "adopted" in await restored.kinds(task)) == ("pending", False)
    close_plane(restored)
