"""Ends that come from dispatching: streams and the tasks that wait for them hear of them without the clockwork."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from qb.push.deliveries import Deliveries
from qb.push.transport import Outcome, Sent
from qb.store import task_env
from tests.service.conftest import Plane

REJECTED, REFUSED = Sent(Outcome.REJECTED, "no such image"), Sent(Outcome.REFUSED, "full")


@asynccontextmanager
async def told(plane: Plane, task: str) -> AsyncIterator[None]:
    """By the end of the block the task's stream is woken, and the node that waits has the task that waited for it."""
    waiting = await plane.node("waiting")
    last = await plane.task(depends_on=[task], on_failure="run", target_node_name="waiting")
    poll = asyncio.create_task(plane.poll(waiting, wait=10))
    async with asyncio.timeout(10):
        while not len(plane.waiters):  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0)
        stream = plane.core.hub.subscribe(task)
        yield
        assert stream.is_set()
        async with asyncio.timeout(2):
            given = await poll
    assert given is not None
    assert given["task_id"] == last


async def test_of_what_was_delivered_in_vain(plane: Plane) -> None:
    node = await plane.node()
    task = await plane.task(max_attempts=1, target_node_name="box")
    for _ in range(3):
        assert await plane.poll(node) is not None
    async with told(plane, task):
        assert await plane.poll(node) is None
    assert (await plane.show(task))["reason"] == "undeliverable"


async def test_of_a_push_that_the_node_rejects(plane: Plane) -> None:
    node = await plane.node()
    task = await plane.task(target_node_name="box")
    assert await plane.poll(node) is not None
    async with told(plane, task):
        await Deliveries(plane.core, plane.waiters).rejected(plane.registry.members[node], task, 1, REJECTED)
    assert (await plane.show(task))["reason"] == "refused_by_node"


async def test_of_a_push_that_was_cancelled_before_it_began(plane: Plane) -> None:
    node = await plane.node()
    task = await plane.task(target_node_name="box")
    assert await plane.poll(node) is not None
    await plane.tasks.cancel(task)
    async with told(plane, task):
        await Deliveries(plane.core, plane.waiters).refused(plane.registry.members[node], task, 1, REFUSED)
    assert (await plane.show(task))["status"] == "cancelled"


async def test_of_what_only_was_assigned_to_an_older_runner_that_another_replaces(plane: Plane) -> None:
    node = await plane.node(wire=1)
    task = await plane.task(max_attempts=1, target_node_name="box")
    assert await plane.poll(node) is not None
    async with told(plane, task):
        await plane.node(wire=2)
    assert (await plane.show(task))["status"] == "error"


async def test_of_a_release(plane: Plane) -> None:
    node = await plane.node()
    task = await plane.task()
    assignment: Any = await plane.dispatch.reserve(node)
    stream = plane.core.hub.subscribe(task)
    await plane.dispatch.release(task, assignment["attempt"])
    assert stream.is_set()


async def test_of_what_has_lost_the_values_of_its_environment(plane: Plane) -> None:
    node = await plane.node()
    task = await plane.task(env={"A": "1"}, target_node_name="box")
    await plane.core.keys.run(lambda db: task_env.forget(db, task_env.kept(db)))
    async with told(plane, task):
        assert await plane.poll(node) is None
