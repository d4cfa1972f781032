"""Which nodes may take a task: a target is a set of conditions, and all that are given must match."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from qb.domain.errors import Invalid

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Target:
    """Conditions on a node; None or empty asks nothing."""

    node_id: str | None = None
    node_name: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    capabilities: tuple[str, ...] = ()
    needs_limits: bool = False
    within: tuple[str, ...] = ()
    """Globs of its creator's key, of which a node's name must match one; none asks nothing."""

    @classmethod
    def of(
        cls,
        *,
        node_id: str | None = None,
        node_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        capabilities: list[str] | None = None,
        needs_limits: bool = False,
    ) -> "Target":
        """Build a target in canonical form: equal conditions make equal targets."""
        return cls(
            node_id,
            node_name,
            tuple(sorted((tags or {}).items())),
            tuple(sorted(set(capabilities or ()))),
            needs_limits,
        )

    @property
    def key(self) -> str:
        """The target as canonical JSON: tasks with one key wait in one line."""
        parts = [self.node_id, self.node_name, self.tags, self.capabilities, self.needs_limits]
        if self.within:
            parts.append(self.within)
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_key(cls, key: str) -> "Target":
        """The target that `key` was made of."""
        node_id, node_name, tags, capabilities, needs_limits, *rest = json.loads(key)
        pairs = tuple((name, value) for name, value in tags)
        within = tuple(rest[0]) if rest else ()
        return cls(node_id, node_name, pairs, tuple(capabilities), needs_limits, within)

    def narrowed(self, *, within: tuple[str, ...], tags: Mapping[str, str]) -> "Target":
        """This target, and what its creator's key asks besides. Raises Invalid where no node could meet both."""
        own = dict(self.tags)
        for name, value in tags.items():
            if own.setdefault(name, value) != value:
                raise Invalid(f"target_tags: {name}={own[name]} is outside what this key may use ({name}={value})")
        return replace(self, tags=tuple(sorted(own.items())), within=tuple(sorted(set(within))))

    @property
    def exact_name(self) -> str | None:
        """The one name that can match, where the pattern has no wildcard."""
        if self.node_name is None or _WILDCARDS & set(self.node_name):
            return None
        return self.node_name


@dataclass(frozen=True, slots=True)
class Traits:
    """What a node offers to a target."""

    node_id: str
    name: str
    tags: Mapping[str, str]
    capabilities: frozenset[str]
    limits: bool


def matches(target: Target, node: Traits) -> bool:
    """Whether `node` meets every condition of `target`. Names are matched case-sensitively, as a glob."""
    return (
        (target.node_id is None or target.node_id == node.node_id)
        and (target.node_name is None or fnmatchcase(node.name, target.node_name))
        and all(node.tags.get(key) == value for key, value in target.tags)
        and node.capabilities.issuperset(target.capabilities)
        and (node.limits or not target.needs_limits)
        and (not target.within or any(fnmatchcase(node.name, glob) for glob in target.within))
    )
