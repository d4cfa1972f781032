"""How many tasks of one key run at once."""

from typing import Any

from qb.contract.routes import Caller
from qb.contract.tasks import TaskCreate
from qb.service.credentials import Identity
from qb.store import key_limits

ACME = Identity(Caller.SCOPED, key_id="k1", name="acme", max_running=2)


async def limited(plane: Any, identity: Identity = ACME, **more: Any) -> str:
    body = TaskCreate(prompt="work", backoff_seconds=0, **more)
    return str((await plane.tasks.create(identity, body))["id"])


async def test_no_more_tasks_of_a_key_run_than_it_may(plane: Any) -> None:
    nodes = [await plane.node(f"box-{number}") for number in range(4)]
    mine = [await limited(plane) for _ in range(4)]
    first, second = [await plane.poll(node) for node in nodes[:2]]
    assert [first["task_id"], second["task_id"]] == mine[:2]
    assert await plane.poll(nodes[2]) is None
    other = await plane.task()
    assert (await plane.poll(nodes[2]))["task_id"] == other, "other keys are not held up"
    await plane.runner(nodes[0], mine[0], "running", attempt=1)
    await plane.runner(nodes[0], mine[0], "success", attempt=1, exit_code=0)
    assert (await plane.poll(nodes[3]))["task_id"] == mine[2]
    assert await plane.poll(nodes[0]) is None


async def test_a_task_that_no_node_may_take_does_not_hold_the_others_up(plane: Any) -> None:
    node = await plane.node("box")
    await limited(plane, target_node_name="nowhere", priority=9)
    await limited(plane, target_node_name="nowhere", priority=9)
    last = await limited(plane)
    assert (await plane.poll(node))["task_id"] == last


async def test_priority_decides_within_a_key_too(plane: Any) -> None:
    node = await plane.node("box", slots=9)
    await limited(plane)
    urgent = await limited(plane, priority=5)
    assert (await plane.poll(node))["task_id"] == urgent


async def test_a_task_that_comes_back_gives_its_place_up(plane: Any, clock: Any) -> None:
    one = Identity(Caller.SCOPED, key_id="k2", name="one", max_running=1)
    node, other = await plane.node("a"), await plane.node("b")
    first = await limited(plane, one, target_node_name="a")
    second = await limited(plane, one, target_node_name="b")
    await plane.poll(node)
    assert await plane.poll(other) is None
    clock.turn(16)
    await plane.scheduler.tick()
    assert (await plane.poll(other))["task_id"] == second
    assert await plane.poll(node) is None
    await plane.runner(other, second, "running", attempt=1)
    await plane.runner(other, second, "error", attempt=1, exit_code=1)
    assert (await plane.poll(node))["task_id"] == first


async def test_retries_times_and_order_keep_to_the_limit(plane: Any, clock: Any) -> None:
    one = Identity(Caller.SCOPED, key_id="k3", name="one", max_running=1)
    nodes = [await plane.node(name) for name in ("a", "b")]
    first = await limited(plane, one)
    after = await limited(plane, one, depends_on=[first], on_failure="run")
    timed = await limited(plane, one, scheduled_for=clock().replace(hour=13))
    clock.turn(3601)
    for node in nodes:
        await plane.beat(node)
    await plane.scheduler.tick()
    taken = [await plane.poll(node) for node in nodes]
    assert [each and each["task_id"] for each in taken] == [first, None]
    await plane.runner(nodes[0], first, "running", attempt=1)
    await plane.runner(nodes[0], first, "error", attempt=1, exit_code=1)
    taken = [await plane.poll(node) for node in nodes]
    assert [each and each["task_id"] for each in taken] == [after, None]
    await plane.tasks.cancel(after)
    assert await plane.poll(nodes[1]) is None, "a task that is being cancelled still runs"
    await plane.runner(nodes[0], after, "error", attempt=1, reason="cancelled_by_operator")
    assert (await plane.poll(nodes[1]))["task_id"] == timed


async def test_a_raised_limit_counts_from_the_next_task_on(plane: Any) -> None:
    one = Identity(Caller.SCOPED, key_id="k4", name="one", max_running=1)
    nodes = [await plane.node(name) for name in ("a", "b", "c")]
    for _ in range(2):
        await limited(plane, one)
    assert [bool(await plane.poll(node)) for node in nodes] == [True, False, False]
    await limited(plane, Identity(Caller.SCOPED, key_id="k4", name="one", max_running=3))
    assert [bool(await plane.poll(node)) for node in nodes[1:]] == [True, True]


async def running(plane: Any, nodes: list[str]) -> list[bool]:
    return [bool(await plane.poll(node)) for node in nodes]


async def changed(plane: Any, key: str, most: int | None) -> None:
    await plane.core.writer.run(lambda db: key_limits.change(db, key, most))
    await plane.scheduler.tick()


async def test_a_limit_that_is_given_later_holds_for_what_waits_and_what_runs(plane: Any) -> None:
    free = Identity(Caller.SCOPED, key_id="k5", name="free")
    nodes = [await plane.node(name) for name in ("a", "b", "c")]
    mine = [await limited(plane, free) for _ in range(3)]
    other = await plane.task(priority=-1)
    assert await running(plane, nodes[:1]) == [True]
    await changed(plane, "k5", 1)
    assert (await plane.poll(nodes[1]))["task_id"] == other
    assert await plane.poll(nodes[2]) is None
    await plane.runner(nodes[0], mine[0], "running", attempt=1)
    await plane.runner(nodes[0], mine[0], "success", attempt=1, exit_code=0)
    assert (await plane.poll(nodes[2]))["task_id"] == mine[1]
    assert await plane.poll(nodes[0]) is None


async def test_a_limit_that_is_taken_away_holds_nothing_back(plane: Any, clock: Any) -> None:
    one = Identity(Caller.SCOPED, key_id="k6", name="one", max_running=1)
    nodes = [await plane.node(name) for name in ("a", "b", "c", "d")]
    first = await limited(plane, one)
    await limited(plane, one)
    after = await limited(plane, one, depends_on=[first])
    later = await limited(plane, one, scheduled_for=clock().replace(hour=13))
    assert await running(plane, nodes) == [True, False, False, False]
    await changed(plane, "k6", None)
    assert await running(plane, nodes[1:]) == [True, False, False], "what waits for a time or a task still does"
    assert {(await plane.show(task))["status"] for task in (after, later)} == {"pending"}


async def test_a_lowered_limit_waits_until_there_is_room(plane: Any) -> None:
    nodes = [await plane.node(name) for name in ("a", "b", "c")]
    mine = [await limited(plane) for _ in range(3)]
    assert await running(plane, nodes) == [True, True, False]
    await changed(plane, "k1", 1)
    for node, task, more in ((nodes[0], mine[0], False), (nodes[1], mine[1], True)):
        await plane.runner(node, task, "running", attempt=1)
        await plane.runner(node, task, "success", attempt=1, exit_code=0)
        assert await running(plane, nodes[2:]) == [more]
