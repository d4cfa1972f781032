"""Entity tags (RFC 9110): whether a thing is still what its reader saw."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from qb.domain.errors import PreconditionFailed

OPERATORS = (
    "id",
    "name",
    "mode",
    "api_endpoint",
    "state",
    "capabilities",
    "tags",
    "slots",
    "takeover_allowed",
    "dispatch",
    "address",
    "ansible",
)
"""What an operator decides about a node. A heartbeat changes the rest, and must not spoil somebody's change."""


def entity_tag(value: Mapping[str, Any]) -> str:
    """The strong tag of a value that JSON can hold, quotes included."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return f'"{hashlib.sha256(canonical.encode(errors="replace")).hexdigest()[:32]}"'


def node_tag(node: Mapping[str, Any]) -> str:
    """The tag of a node in the shape of the contract's Node: of what an operator decides about it."""
    return entity_tag({name: node[name] for name in OPERATORS})


def key_tag(key: Mapping[str, Any]) -> str:
    """The tag of an API key in the shape of the contract's Key: of all but when it was last used."""
    return entity_tag({name: value for name, value in key.items() if name != "last_used_at"})


def names(header: str, tag: str) -> bool:
    """Whether the tag is among those that an If-Match or If-None-Match header lists; ``*`` stands for any."""
    listed = {each.strip().removeprefix("W/") for each in header.split(",")}
    return "*" in listed or tag in listed


def require(if_match: str | None, tag: str) -> None:
    """Raise PreconditionFailed when an If-Match header is given that does not name the tag."""
    if if_match is not None and not names(if_match, tag):
        raise PreconditionFailed("it has changed since you read it: read it again, and decide anew")
