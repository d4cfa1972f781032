"""After a restore: tasks that wait for others."""

from functools import partial
from typing import Any

from qb.contract.nodes import Held
from qb.domain.epochs import SETTLE
from tests.service.conftest import HandClock, Plane, close_plane


async def taken(plane: Plane, node: str, task: str) -> int:
    """The node takes its next task, which is this one; returns the attempt."""
    given = await plane.poll(node)
    assert given is not None
    assert given["task_id"] == task
    return int(given["attempt"])


async def test_a_task_whose_turn_comes_right_after_a_restore_waits_for_its_node_too(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node, other = await plane.node(), await plane.node("other")
    first = await plane.task()
    second = await plane.task(depends_on=[first])

    async def both() -> int:
        assert await plane.done(node) == first
        return await taken(plane, node, second)

    restored, attempt = await to_yesterday(plane, both)
    await restored.runner(node, first, "success", attempt=attempt, exit_code=0)
    assert (await restored.show(first))["status"] == "success", "its report comes again"
    await restored.scheduler.tick()
    assert await restored.poll(other) is None, "the second may be with a node by now"
    await restored.beat(node, Held(task_id=second, attempt=attempt))
    clock.turn(SETTLE + 1)
    await restored.beat(node, Held(task_id=second, attempt=attempt))
    await restored.scheduler.tick()
    assert await restored.poll(other) is None
    assert (await restored.show(second))["status"] == "running"
    close_plane(restored)


async def test_one_that_nobody_holds_starts_after_that(plane: Plane, to_yesterday: Any, clock: HandClock) -> None:
    node = await plane.node()
    first = await plane.task()
    second = await plane.task(depends_on=[first])

    restored, attempt = await to_yesterday(plane, partial(taken, plane, node, first))
    await restored.runner(node, first, "success", attempt=attempt, exit_code=0)
    clock.turn(SETTLE + 1)
    await restored.scheduler.tick()
    assert (await restored.poll(node) or {})["task_id"] == second
    close_plane(restored)


async def test_one_that_is_held_waits_for_nothing_when_it_starts_again(
    plane: Plane, to_yesterday: Any, clock: HandClock
) -> None:
    node = await plane.node()
    first = await plane.task()
    second = await plane.task(depends_on=[first], max_attempts=2)

    async def both() -> int:
        await plane.done(node)
        return await taken(plane, node, second)

    restored, attempt = await to_yesterday(plane, both)
    await restored.beat(node, Held(task_id=second, attempt=attempt))
    await restored.runner(node, first, "success", attempt=attempt, exit_code=0)
    await restored.runner(node, second, "error", attempt=attempt, exit_code=1)
    clock.turn(SETTLE + 1)
    await restored.scheduler.tick()
    assert (await restored.poll(node) or {}).get("task_id") == second
    close_plane(restored)
