"""Which nodes an inventory file asks for: its hosts, and what their variables say."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from qb.contract.addresses import VARIABLES
from qb.contract.nodes import NodeCreate
from qb.inventory.dynamic import EVERY

FIELDS = {
    "qb_mode": "mode",
    "qb_dispatch": "dispatch",
    "qb_address": "address",
    "qb_endpoint": "api_endpoint",
    "qb_tags": "tags",
    "qb_capabilities": "capabilities",
    "qb_slots": "slots",
}
"""Variables of a host, and the fields of a node that they fill. qb_name is the node's name, where it is another."""

_NAMES = ("qb_name", *FIELDS)
_OF_FIELD = {field: name for name, field in FIELDS.items()} | {"name": "qb_name", "address": "qb_address"}


class InvalidInventory(Exception):
    """The inventory makes no sense; `args` are the lines that say where, and the mend."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One node as the file wants it; `given` are the fields that the file sets, the rest is left as it is."""

    name: str
    host: str
    body: NodeCreate
    given: frozenset[str]


def wanted_nodes(listing: Mapping[str, Any]) -> list[Wanted]:
    """The hosts of group `nodes` in `ansible-inventory --list`. Raises InvalidInventory with every fault."""
    hostvars: Mapping[str, Any] = listing.get("_meta", {}).get("hostvars", {})
    found: list[Wanted] = []
    faults: list[str] = []
    for host in _members(listing, EVERY):
        try:
            found.append(_wanted(host, hostvars.get(host, {})))
        except InvalidInventory as error:
            faults += error.args
    faults += _twice(found)
    if faults:
        raise InvalidInventory(*faults)
    return sorted(found, key=lambda each: each.name)


def _members(listing: Mapping[str, Any], group: str) -> list[str]:
    """The hosts of a group and of the groups in it, each once. Ansible has refused loops by now."""
    entry = listing.get(group, {})
    hosts = dict.fromkeys(entry.get("hosts", ()))
    for child in entry.get("children", ()):
        hosts |= dict.fromkeys(_members(listing, child))
    return list(hosts)


def _wanted(host: str, variables: Mapping[str, Any]) -> Wanted:
    faults = [_misspelt(host, name) for name in variables if name.startswith("qb_")]
    values: dict[str, Any] = {FIELDS[name]: value for name, value in variables.items() if name in FIELDS}
    kept = {name: value for name, value in variables.items() if name in VARIABLES}
    if kept:
        values["ansible"] = kept
    if "ansible_host" in variables and "address" not in values:
        values["address"] = variables["ansible_host"]
    name = variables.get("qb_name", host)
    try:
        body = NodeCreate(name=name, **values)
    except ValidationError as error:
        faults += [f"{host}: {_said(each)}" for each in error.errors()]
    faults = [fault for fault in faults if fault]
    if faults:
        raise InvalidInventory(*faults)
    _check_together(host, body)
    return Wanted(body.name, host, body, frozenset(values))


def _check_together(host: str, body: NodeCreate) -> None:
    if body.dispatch == "ansible" and body.mode != "push":
        raise InvalidInventory(f"{host}: qb_dispatch ansible needs qb_mode push")
    if body.dispatch == "ansible" and body.slots != 1:
        raise InvalidInventory(f"{host}: qb_slots must be 1 with qb_dispatch ansible")
    if body.dispatch == "ansible" and not body.address:
        raise InvalidInventory(f"{host}: qb_dispatch ansible needs ansible_host or qb_address")
    if body.dispatch == "http" and body.mode == "push" and not body.api_endpoint:
        raise InvalidInventory(f"{host}: qb_mode push needs qb_endpoint, for example https://203.0.113.5:8443")


def _misspelt(host: str, name: str) -> str | None:
    """A variable that is nearly one of ours; others may belong to a role."""
    if name in _NAMES:
        return None
    near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.85)
    return f"{host}: {name} is no variable of a node: did you mean {near[0]}?" if near else None


def _said(error: Any) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    inner = ".".join(str(part) for part in error["loc"][1:] if part != "[key]")
    message = error["msg"].removeprefix("Value error, ")
    if field == "ansible":
        return str(message)
    place = _OF_FIELD.get(field, field) + (f", {inner}" if inner else "")
    quoted = " (quote it)" if error["type"] == "string_type" else ""
    return f"{place}: {message[:1].lower()}{message[1:]}{quoted}"


def _twice(found: list[Wanted]) -> list[str]:
    first: dict[str, Wanted] = {}
    faults = []
    for each in found:
        other = first.setdefault(each.name.casefold(), each)
        if other is not each:
            faults.append(f"{each.host}: its node's name {each.name!r} is that of {other.host} too: give one a qb_name")
    return faults
