"""Entity tags say whether a thing is still what its reader saw."""

from typing import Any

import pytest

from qb.domain.errors import PreconditionFailed
from qb.domain.etags import OPERATORS, entity_tag, names, node_tag, require

NODE: dict[str, Any] = {name: name for name in OPERATORS} | {"last_seen_at": "then", "load": 0.5}


def test_a_tag_follows_the_value_and_not_the_order_of_its_keys() -> None:
    assert entity_tag({"a": 1, "b": [2]}) == entity_tag({"b": [2], "a": 1}) != entity_tag({"a": 1, "b": [3]})
    assert entity_tag({"a": "\ud800"}).startswith('"')


def test_a_heartbeat_leaves_the_tag_of_a_node_and_an_operator_changes_it() -> None:
    assert node_tag(NODE | {"last_seen_at": "now", "load": 3.0}) == node_tag(NODE)
    for name in OPERATORS:
        assert node_tag(NODE | {name: "other"}) != node_tag(NODE)


@pytest.mark.parametrize(
    ("header", "named"),
    [('"x"', True), ('"y", "x"', True), ('W/"x"', True), ("*", True), ('"y"', False), ("", False), ("x", False)],
)
def test_a_header_names_the_tag_or_does_not(header: str, named: bool) -> None:
    assert names(header, '"x"') is named


def test_a_condition_that_does_not_hold_is_refused_and_none_always_holds() -> None:
    require(None, '"x"')
    require('"x"', '"x"')
    with pytest.raises(PreconditionFailed, match="read it again"):
        require('"y"', '"x"')
