"""Tasks that other tasks ask for: parents are recorded, and depth, number and loops are bounded by the server."""

import asyncio
from typing import Any

import pytest

from qb.contract.delegation import MAX_DEPTH, MAX_TASKS
from qb.contract.routes import Caller
from qb.contract.tasks import TaskCreate
from qb.domain.errors import Conflict, Invalid, Unauthenticated
from qb.service.credentials import Identity


def key(name: str) -> Identity:
    """A scoped key."""
    return Identity(Caller.SCOPED, key_id=name, name=name)


async def started(plane: Any, node: str) -> dict[str, Any]:
    """The node takes its next task and begins it."""
    assignment: dict[str, Any] = await plane.poll(node)
    await plane.runner(node, assignment["task_id"], "running", attempt=assignment["attempt"])
    return assignment


async def deepen(plane: Any, levels: int) -> str:
    """A line of running tasks, each asked for by the one before; returns the last one."""
    node = await plane.node("deep", slots=MAX_DEPTH + 2)
    task = (await plane.started(node, prompt="level 0"))["task_id"]
    for level in range(1, levels + 1):
        await plane.task(f"level {level}", parent_task_id=task)
        task = (await started(plane, node))["task_id"]
    return str(task)


async def test_a_child_names_its_parent_its_root_and_its_depth(plane: Any) -> None:
    last = await deepen(plane, 2)
    shown = await plane.show(last)
    parent = await plane.show(shown["parent_task_id"])
    assert (shown["depth"], parent["depth"]) == (2, 1)
    assert shown["root_task_id"] == parent["root_task_id"] == parent["parent_task_id"]
    assert (await plane.show(shown["root_task_id"]))["parent_task_id"] is None


async def test_delegation_ends_at_the_servers_depth(plane: Any) -> None:
    last = await deepen(plane, MAX_DEPTH)
    with pytest.raises(Conflict, match=f"{MAX_DEPTH} is the limit"):
        await plane.task("one level more", parent_task_id=last)


async def test_a_request_may_ask_for_a_narrower_depth(plane: Any) -> None:
    last = await deepen(plane, 1)
    with pytest.raises(Conflict, match="1 is the limit"):
        await plane.task("two levels", parent_task_id=last, max_depth=1)


async def test_the_whole_family_shares_one_budget_even_at_once(plane: Any) -> None:
    last = await deepen(plane, 1)
    asked = [plane.task(f"part {number}", parent_task_id=last, max_tasks=5) for number in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 4, "with the parent itself these are 5"
    assert all(isinstance(answer, (str, Conflict)) for answer in answers)


async def test_no_more_tasks_than_the_server_allows(plane: Any) -> None:
    root = (await plane.started(await plane.node()))["task_id"]
    for number in range(MAX_TASKS):
        await plane.task(f"part {number}", parent_task_id=root)
    with pytest.raises(Conflict, match=f"{MAX_TASKS} tasks, which is the limit"):
        await plane.task("one more", parent_task_id=root)


async def test_a_retry_counts_like_any_other(plane: Any) -> None:
    root = (await plane.started(await plane.node()))["task_id"]
    parts = [await plane.task(f"part {number}", parent_task_id=root) for number in range(MAX_TASKS)]
    await plane.tasks.cancel(parts[0])
    with pytest.raises(Conflict, match="limit"):
        await plane.tasks.retry(Identity(Caller.ADMIN, name="admin"), parts[0])


async def test_a_retry_stays_below_its_parent(plane: Any) -> None:
    root = (await plane.started(await plane.node()))["task_id"]
    part = await plane.task("part", parent_task_id=root)
    await plane.tasks.cancel(part)
    again = await plane.tasks.retry(Identity(Caller.ADMIN, name="admin"), part)
    assert (again["parent_task_id"], again["depth"]) == (root, 1)


@pytest.mark.parametrize("prompt", ["level 0", "LEVEL  0\n", "level 2"])
async def test_a_prompt_that_stands_above_is_a_loop(plane: Any, prompt: str) -> None:
    last = await deepen(plane, 2)
    with pytest.raises(Conflict, match="loop"):
        await plane.task(prompt, parent_task_id=last)


async def test_waiting_for_the_one_that_asks_is_a_loop(plane: Any) -> None:
    last = await deepen(plane, 1)
    root = (await plane.show(last))["root_task_id"]
    with pytest.raises(Conflict, match="each would wait for the other"):
        await plane.task("after it", parent_task_id=last, depends_on=[root])


async def test_only_a_running_task_asks_for_others(plane: Any) -> None:
    waiting = await plane.task()
    with pytest.raises(Conflict, match="pending: only a running task"):
        await plane.task("part", parent_task_id=waiting)


@pytest.mark.parametrize(
    "more", [{"recurrence": "0 9 * * *"}, {"parent_task_id": None, "max_depth": 2}], ids=["a schedule", "no parent"]
)
async def test_what_cannot_be_is_refused(plane: Any, more: dict[str, Any]) -> None:
    root = (await plane.started(await plane.node()))["task_id"]
    with pytest.raises(Invalid):
        await plane.task("part", **({"parent_task_id": root} | more))


async def test_groups_are_not_delegated(plane: Any) -> None:
    root = (await plane.started(await plane.node()))["task_id"]
    with pytest.raises(Invalid, match="one by one"):
        await plane.group(parent_task_id=root)


async def test_a_foreign_parent_needs_its_own_token(plane: Any) -> None:
    given = await plane.started(await plane.node())
    body = TaskCreate(prompt="part", parent_task_id=given["task_id"])
    with pytest.raises(Invalid, match="no task"):
        await plane.tasks.create(key("k1"), body)
    token = given["task_token"]
    made = await plane.tasks.create(key("k1"), body, task_token=token)
    alone = await plane.tasks.create(key("k1"), TaskCreate(prompt="another part"), task_token=token)
    assert made["parent_task_id"] == alone["parent_task_id"] == given["task_id"]
    assert made["created_by"] == "k1"


async def test_a_token_vouches_for_its_own_task_alone(plane: Any) -> None:
    node = await plane.node(slots=2)
    mine, other = await plane.started(node), await plane.started(node)
    body = TaskCreate(prompt="part", parent_task_id=other["task_id"])
    with pytest.raises(Invalid, match="that of task"):
        await plane.tasks.create(key("k1"), body, task_token=mine["task_token"])
    with pytest.raises(Unauthenticated):
        await plane.tasks.create(key("k1"), TaskCreate(prompt="part"), task_token="qbt_forged")
