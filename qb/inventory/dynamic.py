"""The registered nodes as a dynamic inventory, in the form that Ansible wants from a script."""

import re
from collections.abc import Iterable
from typing import Any

from qb.contract.nodes import Node

EVERY = "nodes"
"""The group of all nodes."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


def dynamic_inventory(nodes: Iterable[Node], url: str, ca_file: str | None = None) -> dict[str, Any]:
    """Hosts with their variables, grouped by mode, dispatch, status, state, operating system and tag.

    `url` and `ca_file` are of the control plane that they are nodes of; group_vars can say others.
    """
    groups: dict[str, list[str]] = {EVERY: []}
    hostvars: dict[str, dict[str, Any]] = {}
    for node in nodes:
        hostvars[node.name] = _variables(node)
        for group in (EVERY, *_groups(node)):
            groups.setdefault(group, []).append(node.name)
    listed: dict[str, Any] = {name: {"hosts": hosts} for name, hosts in sorted(groups.items())}
    plane = {"qb_url": url} | ({"qb_ca_file": ca_file} if ca_file else {})
    return {"_meta": {"hostvars": hostvars}, "all": {"children": [*listed, "ungrouped"], "vars": plane}, **listed}


def _groups(node: Node) -> list[str]:
    by = [("mode", node.mode), ("status", node.status), ("state", node.state), ("os", node.os_type)]
    if node.mode == "push":
        by.append(("dispatch", node.dispatch))
    names = [f"{kind}_{value}" for kind, value in by]
    names += [f"tag_{name}_{value}" if value else f"tag_{name}" for name, value in node.tags.items()]
    # two tags may come to one name of a group
    return list(dict.fromkeys(_NOT_IN_NAMES.sub("_", name) for name in names))


def _variables(node: Node) -> dict[str, Any]:
    variables: dict[str, Any] = {
        **node.ansible,
        "qb_id": node.id,
        "qb_mode": node.mode,
        "qb_dispatch": node.dispatch,
        "qb_status": node.status,
        "qb_state": node.state,
        "qb_os": _plain(node.os_type),
        "qb_slots": node.slots,
        "qb_tags": {_key(name): _plain(value) for name, value in node.tags.items()},
        "qb_capabilities": [_plain(each) for each in node.capabilities],
    }
    if node.address:
        variables["ansible_host"] = node.address
    if node.api_endpoint:
        variables["qb_endpoint"] = _plain(node.api_endpoint)
    return variables


def _plain(text: str) -> str | dict[str, str]:
    """Text that a machine may have said of itself: Ansible must never take it for a template."""
    return {"__ansible_unsafe": text} if "{" in text else text


def _key(text: str) -> str:
    """Keys cannot be marked as plain text, so what could begin a template is taken out."""
    return text.replace("{", "_")
