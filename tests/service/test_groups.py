"""Fan-out: one task for each node that matches, under one group."""

from typing import Any

import pytest

from qb.contract.nodes import NodeChange
from qb.contract.routes import Caller
from qb.contract.states import NodeState
from qb.contract.tasks import GroupCreate
from qb.domain.errors import Invalid, NotFound
from qb.service.audit import Actor
from qb.service.credentials import Identity
from tests.service.conftest import ADMIN, OPERATOR


async def test_each_matching_node_gets_one_task_of_the_group(plane: Any) -> None:
    nodes = {name: await plane.node(name) for name in ("client-1", "client-2", "other")}
    group = await plane.group("client-*", title="Backups")
    assert (group["total"], group["counts"], group["ended"], group["title"]) == (2, {"pending": 2}, False, "Backups")
    assert [task["target_node_name"] for task in group["tasks"]] == ["client-1", "client-2"]
    assert await plane.poll(nodes["other"]) is None
    for name in ("client-1", "client-2"):
        task = await plane.done(nodes[name])
        assert (await plane.show(task))["group_id"] == group["id"]
    shown = await plane.groups.one(ADMIN, group["id"])
    assert (shown["counts"], shown["ended"]) == ({"success": 2}, True)


async def test_other_conditions_hold_as_well_and_a_disabled_node_counts_for_none(plane: Any) -> None:
    for name, tags in (("client-1", {"gpu": "yes"}), ("client-2", {}), ("client-3", {"gpu": "yes"})):
        node = await plane.node(name, tags=tags)
        if name == "client-3":
            await plane.nodes.change(OPERATOR, node, NodeChange(state=NodeState.DISABLED), if_match=None)
    group = await plane.group("client-*", target_tags={"gpu": "yes"})
    assert [task["target_node_name"] for task in group["tasks"]] == ["client-1"]


async def test_a_glob_without_a_node_is_refused_with_the_reason(plane: Any) -> None:
    await plane.node("client-1")
    with pytest.raises(Invalid, match="no node matches 'server-\\*'"):
        await plane.group("server-*")
    with pytest.raises(Invalid, match="none of the 1 whose name fits"):
        await plane.group("client-*", capabilities=["gpu"])
    for more in ({"recurrence": "* * * * *"}, {"depends_on": ["x"]}):
        with pytest.raises(Invalid, match=next(iter(more))):
            await plane.group("client-*", **more)
    assert (await plane.groups.page(ADMIN, before=99, limit=9))[0] == [], "what is refused leaves nothing behind"


async def test_a_scoped_key_fans_out_over_its_own_nodes_alone(plane: Any) -> None:
    await plane.node("acme-1")
    await plane.node("globex-1")
    acme = Identity(Caller.SCOPED, key_id="k1", name="acme", node_patterns=("acme-*",))
    group = await plane.groups.create(acme, GroupCreate(prompt="x", each="*"))
    assert [task["target_node_name"] for task in group["tasks"]] == ["acme-1"]
    globex = Identity(Caller.SCOPED, key_id="k2", name="globex", node_patterns=("globex-*",))
    with pytest.raises(NotFound):
        await plane.groups.one(globex, group["id"])
    with pytest.raises(NotFound):
        await plane.groups.cancel(Actor(globex), group["id"])
    assert (await plane.groups.page(globex, before=99, limit=9))[0] == []
    assert (await plane.groups.one(acme, group["id"]))["counts"] == {"pending": 1}


async def test_cancelling_a_group_ends_what_waits_and_asks_what_runs(plane: Any) -> None:
    nodes = [await plane.node(name) for name in ("client-1", "client-2")]
    group = await plane.group()
    running = await plane.poll(nodes[0])
    await plane.runner(nodes[0], running["task_id"], "running", attempt=1)
    shown = await plane.groups.cancel(OPERATOR, group["id"])
    assert shown["counts"] == {"cancelled": 1, "running": 1}
    assert (await plane.show(running["task_id"]))["cancel_requested"] is True
    assert (await plane.groups.cancel(OPERATOR, group["id"]))["counts"] == shown["counts"]


async def test_a_retried_task_takes_the_place_of_the_one_that_failed(plane: Any) -> None:
    node = await plane.node("client-1")
    group = await plane.group()
    failed = await plane.done(node, "error", exit_code=1)
    again = await plane.tasks.retry(ADMIN, failed)
    await plane.done(node)
    shown = await plane.groups.one(ADMIN, group["id"])
    assert (shown["total"], shown["counts"]) == (1, {"success": 1})
    assert [task["id"] for task in shown["tasks"]] == [again["id"]]


async def test_groups_are_listed_in_pages_newest_first(plane: Any) -> None:
    await plane.node("client-1")
    made = [(await plane.group())["id"] for _ in range(3)]
    first, cursor = await plane.groups.page(ADMIN, before=99, limit=2)
    rest, end = await plane.groups.page(ADMIN, before=cursor, limit=2)
    assert [group["id"] for group in (*first, *rest)] == made[::-1]
    assert end is None
    assert "tasks" not in first[0]
