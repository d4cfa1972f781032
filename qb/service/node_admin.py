"""What the operator decides about nodes: register ahead, change, drain, rotate the key, remove."""

import sqlite3
import uuid
from datetime import datetime
from typing import Any

from qb.contract.acts import Action
from qb.contract.nodes import NodeChange, NodeCreate
from qb.contract.states import WIRE, Generation, NodeDispatch, NodeMode, NodeState, NodeStatus
from qb.domain.errors import Conflict, Invalid, NotFound
from qb.domain.etags import OPERATORS, node_tag, require
from qb.domain.times import after, iso
from qb.service import audit
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.keys import HOUR
from qb.service.registry import Registry, member_of
from qb.service.waiters import Waiters
from qb.store import claims, nodes, placements

_ACTIONS = {NodeState.ACTIVE: Action.NODE_RESUMED, NodeState.DRAINING: Action.NODE_DRAINED}


class NodeAdmin:
    """Use cases about nodes that the operator alone has."""

    def __init__(self, core: Core, registry: Registry, waiters: Waiters) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters

    async def create(self, actor: Actor, body: NodeCreate) -> dict[str, Any]:
        """Register a node ahead of its first contact; returns Registered. Raises Conflict for a name in use."""
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> sqlite3.Row:
            _check_name(db, body.name)
            values = body.model_dump() | {"hostname": body.name, "os_type": "unknown", "wire": 1, "limits": False}
            row = nodes.insert(db, fresh(now) | values | _runner_of(body.dispatch))
            _check_ansible(row)
            placements.link_node(db, nodes.traits(row))
            audit.note(db, actor, Action.NODE_CREATED, row["id"], now=now, detail={"name": row["name"]})
            return row

        row = await self._core.writer.run(work)
        self._registry.put(member_of(row, now))
        return self._with_key(row)

    async def change(self, actor: Actor, node_id: str, body: NodeChange, *, if_match: str | None) -> dict[str, Any]:
        """Change what `body` gives; returns Node.

        Raises NotFound, PreconditionFailed when the node has changed since `if_match`, Conflict for a name in use.
        """
        now = self._core.clock()
        # The generation is no part of the ETag: what the node sends may change it at any time.
        changes = {name: getattr(body, name) for name in (*OPERATORS, "generation") if name in body.model_fields_set}

        def work(db: sqlite3.Connection) -> sqlite3.Row:
            before = find(db, node_id)
            require(if_match, node_tag(nodes.public(before)))
            if not changes:
                return before
            _check_name(db, changes.get("name", before["name"]), but=before["id"])
            if before["wire"] >= 2 and "generation" in changes:
                raise Invalid("generation: this node runs a wire2 runner, and says so itself; leave it out")
            row = nodes.update(db, before["id"], changes | _runner_of(changes.get("dispatch")))
            _check_ansible(row)
            if row["mode"] == NodeMode.PUSH and row["dispatch"] == NodeDispatch.HTTP and not row["api_endpoint"]:
                raise Invalid("api_endpoint: a push node needs one; give its URL")
            placements.link_node(db, nodes.traits(row))
            audit.note(db, actor, Action.NODE_CHANGED, row["id"], now=now, detail={"name": row["name"], **changes})
            return row

        row = await self._core.writer.run(work)
        member = self._registry.members.get(row["id"])
        if member is not None:
            changed = member_of(row, now)
            if (changed.endpoint, changed.variables) != (member.endpoint, member.variables):
                self._registry.put(changed)
            else:
                member.traits, member.slots, member.generation = changed.traits, changed.slots, changed.generation
            self._waiters.changed(changed.traits)
        self._core.hub.publish(row["id"])
        return nodes.public(row)

    async def remove(self, actor: Actor, node_id: str, *, force: bool) -> dict[str, Any]:
        """Forget a node; returns it as it was. Its key is good for nothing from the next request on.

        Raises NotFound, and Conflict while it holds tasks; with `force` these end when their leases do.
        """
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> sqlite3.Row:
            row = find(db, node_id)
            holds = len(claims.held(db, row["id"]))
            if holds and not force:
                raise Conflict(f"node {row['name']!r} holds {holds} tasks: drain it and wait, or remove it with force")
            nodes.remove(db, row["id"])
            placements.unlink_node(db, row["id"])
            audit.note(db, actor, Action.NODE_REMOVED, row["id"], now=now, detail={"name": row["name"]})
            return row

        row = await self._core.writer.run(work)
        self._core.credentials.forget_node(row["id"])
        self._registry.members.pop(row["id"], None)
        self._waiters.end(row["id"])
        self._core.hub.publish(row["id"])
        return nodes.public(row)

    async def rotate(self, actor: Actor, node_id: str, *, grace_hours: float | None) -> dict[str, Any]:
        """Give the node a new key; returns Registered. Raises NotFound.

        The old one stays good for `grace_hours`, by default until the node registers again: no client does so on a
        401, so that an old one would be lost.
        """
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> sqlite3.Row:
            before = find(db, node_id)
            version = before["key_version"] + 1
            changes: dict[str, Any] = {"key_version": version, "old_keys_until": None}
            if grace_hours is not None:
                changes["old_keys_until"] = after(now, grace_hours * HOUR)
            row = nodes.update(db, before["id"], changes)
            detail = {"name": row["name"], "grace_period_hours": grace_hours}
            audit.note(db, actor, Action.NODE_KEY_ROTATED, row["id"], now=now, detail=detail)
            return row

        return self._with_key(await self._core.writer.run(work))

    async def set_state(self, actor: Actor, node_id: str, state: NodeState) -> dict[str, Any]:
        """Drain or resume a node. Raises NotFound."""
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> sqlite3.Row:
            row = nodes.update(db, find(db, node_id)["id"], {"state": state})
            audit.note(db, actor, _ACTIONS[state], row["id"], now=now, detail={"name": row["name"]})
            return row

        row = await self._core.writer.run(work)
        if state is NodeState.ACTIVE:
            self._waiters.wake_node(row["id"])
        self._core.hub.publish(row["id"])
        return nodes.public(row)

    def _with_key(self, row: sqlite3.Row) -> dict[str, Any]:
        credentials = self._core.credentials
        credentials.know_node(row["id"], row["key_version"], oldest=row["oldest_key"], until=row["old_keys_until"])
        self._waiters.end(row["id"])  # its next poll shows which key it has
        return nodes.public(row) | {"api_key": credentials.node_key(row["id"], row["key_version"])}


def fresh(now: datetime) -> dict[str, Any]:
    """What every new node begins with."""
    return {
        "id": str(uuid.uuid4()),
        "status": NodeStatus.OFFLINE,
        "state": NodeState.ACTIVE,
        "key_version": 1,
        "created_at": iso(now),
        "slots": 1,
    }


def find(db: sqlite3.Connection, node_id: str) -> sqlite3.Row:
    """The node of that id or name. Raises NotFound."""
    row = nodes.by_id(db, node_id) or nodes.by_name(db, node_id)
    if row is None:
        raise NotFound(f"no node {node_id}")
    return row


def _runner_of(dispatch: NodeDispatch | None) -> dict[str, Any]:
    """What Ansible starts on a node is a runner of this very release."""
    return {"wire": WIRE, "generation": Generation.WIRE2} if dispatch is NodeDispatch.ANSIBLE else {}


def _check_ansible(row: sqlite3.Row) -> None:
    """Raises Invalid for a node that Ansible cannot bring tasks to."""
    if row["dispatch"] != NodeDispatch.ANSIBLE:
        return
    if row["mode"] != NodeMode.PUSH:
        raise Invalid("dispatch: only a push node is brought its tasks by Ansible; set mode to push")
    if not row["address"]:
        raise Invalid("address: Ansible needs one to bring tasks; give a host name or an IP address")
    if row["slots"] != 1:
        raise Invalid("slots: a node that Ansible brings tasks runs one at a time; leave it at 1")


def _check_name(db: sqlite3.Connection, name: str, *, but: str | None = None) -> None:
    known = nodes.by_name(db, name)
    if known is not None and known["id"] != but:
        raise Conflict(f"a node named {name!r} exists: choose another name, or remove that node")
