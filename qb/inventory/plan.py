"""What must change so that the registry has the nodes that a file asks for. Pure: nodes in, a plan out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from qb.contract.nodes import Node
from qb.inventory.wanted import InvalidInventory, Wanted


class Act(StrEnum):
    """What is to be done with one node."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    LEAVE = "leave"
    """Registered, and not in the file: it joined by itself, or was forgotten there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node's part of the plan; `changes` has (before, after) by field."""

    act: Act
    name: str
    node_id: str | None = None
    wanted: Wanted | None = None
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def plan(wanted: Iterable[Wanted], registered: Iterable[Node], *, prune: bool) -> list[Step]:
    """Removals first, since one that is refused must leave the rest undone; nodes that are as wanted have no step.

    Raises InvalidInventory where a name is that of a registered node but for capitals.
    """
    known = {node.name: node for node in registered}
    asked = {each.name: each for each in wanted}
    _stop_at_likenesses(asked, known)
    steps = []
    for name, node in known.items():
        if name not in asked:
            steps.append(Step(Act.REMOVE if prune else Act.LEAVE, name, node.id))
    for name, each in asked.items():
        if name not in known:
            given = {key: (None, value) for key, value in _values(each).items()}
            steps.append(Step(Act.CREATE, name, None, each, given))
        elif changes := _changes(each, known[name]):
            steps.append(Step(Act.CHANGE, name, known[name].id, each, changes))
    order = (Act.REMOVE, Act.CREATE, Act.CHANGE, Act.LEAVE)
    return sorted(steps, key=lambda step: (order.index(step.act), step.name))


def _stop_at_likenesses(asked: Mapping[str, Wanted], known: Mapping[str, Node]) -> None:
    """Nobody means two nodes by names that differ in capitals alone, and tasks for one would wait for the other."""
    alike = {name.casefold(): name for name in known}
    faults = [
        f"{each.host}: node {alike[name.casefold()]!r} is registered, which differs from {name!r} in capitals alone"
        for name, each in asked.items()
        if name not in known and name.casefold() in alike
    ]
    if faults:
        raise InvalidInventory(*faults)


def _values(each: Wanted) -> dict[str, Any]:
    return each.body.model_dump(mode="json", include=set(each.given))


def _changes(each: Wanted, node: Node) -> dict[str, tuple[Any, Any]]:
    before = node.model_dump(mode="json")
    return {key: (before[key], value) for key, value in _values(each).items() if before[key] != value}
