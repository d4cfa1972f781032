"""`qb task why` of nodes that nobody has heard of yet."""

from typing import Any

import pytest

from qb.contract.nodes import NodeCreate
from qb.service.fleet import load
from qb.service.why import why
from tests.service.conftest import ADMIN, OPERATOR, Plane

AHEAD: list[dict[str, Any]] = [{}, {"mode": "push", "api_endpoint": "http://127.0.0.1:9"}]


@pytest.mark.parametrize("given", AHEAD, ids=["pull", "push"])
async def test_a_node_that_was_never_heard_of_is_offline(plane: Plane, given: dict[str, Any]) -> None:
    """From the moment it is registered ahead, and after a restart of the server, too."""
    node = await plane.nodes.create(OPERATOR, NodeCreate(name="w1", **given))
    task = await plane.task()
    causes = [{"code": "offline", "text": f"1 node matches, and w1 is offline since {node['created_at']}"}]
    for registry in (plane.registry, await load(plane.core)):
        assert (await why(plane.core, registry, ADMIN, task))["causes"] == causes


async def test_its_first_word_gives_it_room(plane: Plane) -> None:
    node = await plane.nodes.create(OPERATOR, NodeCreate(name="w1"))
    task = await plane.task()
    await plane.beat(node["id"])
    told = await why(plane.core, plane.registry, ADMIN, task)
    assert [each["code"] for each in told["causes"]] == ["starting"]
