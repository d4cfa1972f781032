"""The registry of nodes: joining, heartbeats, and what the operator decides about a node."""

import sqlite3
import uuid
from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from qb.contract.nodes import Heartbeat, NodeCreate, Register
from qb.contract.routes import Caller
from qb.contract.states import Generation, NodeMode, NodeState, NodeStatus
from qb.domain import generations, leases
from qb.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from qb.domain.generations import Sign
from qb.domain.times import after, iso, parse
from qb.service import legacy
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Member, Registry
from qb.service.waiters import Waiters
from qb.store import claims, doubts, nodes, placements, tasks


async def load(core: Core) -> Registry:
    """Read every node, and give every live lease its full term: the server was away, not the nodes."""
    registry = Registry()
    now = core.clock()

    def begin(db: sqlite3.Connection) -> list[sqlite3.Row]:
        claims.full_term(db, lease=after(now, leases.LEASE), old_lease=after(now, leases.OLD_LEASE))
        return nodes.every(db)

    for row in await core.writer.run(begin):
        core.credentials.know_node(row["id"], row["key_version"])
        registry.put(_member(row, now))
    await core.writer.run(lambda db: legacy.full_terms(db, list(registry.members.values()), now))
    return registry


class Fleet:
    """Use cases about nodes."""

    def __init__(self, core: Core, registry: Registry, waiters: Waiters) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters

    async def register(self, identity: Identity, body: Register, token: Any) -> dict[str, Any]:
        """Let a machine join, or come back under its name with a new key; returns Registered.

        `token` is the registration token's record (`id`, `name_glob`), None when the node's own key speaks.
        Raises Forbidden for a name outside the token's glob, and Conflict for a name that another token holds.
        """
        name = body.name or body.hostname
        if token is not None and not fnmatchcase(name, token.name_glob):
            raise Forbidden(f"this registration token does not let {name!r} in: its names match {token.name_glob!r}")
        now = self._core.clock()
        row = await self._core.writer.run(lambda db: self._register(db, identity, body, name, token, now))
        return self._admit(row, now)

    async def create(self, body: NodeCreate) -> dict[str, Any]:
        """Register a node ahead of its first contact; returns Registered. Raises Conflict for a name in use."""
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> sqlite3.Row:
            if nodes.by_name(db, body.name) is not None:
                raise Conflict(f"a node named {body.name!r} exists: choose another name, or remove that node")
            values = body.model_dump() | {"hostname": body.name, "os_type": "unknown", "wire": 1, "limits": False}
            row = nodes.insert(db, _new(now) | values)
            placements.link_node(db, nodes.traits(row))
            return row

        return self._admit(await self._core.writer.run(work), now)

    def _register(
        self, db: sqlite3.Connection, identity: Identity, body: Register, name: str, token: Any, now: datetime
    ) -> sqlite3.Row:
        known = nodes.by_name(db, name)
        values = body.model_dump(exclude={"name", "tags", "capabilities"}) | {
            "name": name,
            "generation": _generation(known, body),
            "registered_at": iso(now),
            "last_seen_at": iso(now),
            "status": NodeStatus.IDLE,
        }
        if body.mode is NodeMode.PULL:
            values["api_endpoint"] = None
        # Empty or absent tags and capabilities never overwrite the operator's.
        values |= {key: given for key in ("tags", "capabilities") if (given := getattr(body, key))}
        if token is not None:
            values["token_id"] = token.id
        if known is None:
            if identity.caller is Caller.NODE:
                raise Forbidden(f"this key is not that of a node named {name!r}: register with a registration token")
            row = nodes.insert(db, _new(now) | {"tags": {}, "capabilities": []} | values)
        else:
            _may_return(identity, known, token)
            if known["wire"] < 2:
                legacy.restarted(db, known, wire=body.wire, now=now)
            # With its own key it keeps that key: were the reply with a new one lost, it could never come back.
            newer = 0 if identity.caller is Caller.NODE else 1
            if newer:
                doubts.replace_key(db, known["id"], known["key_version"], now=iso(now))
            row = nodes.update(db, known["id"], values | {"key_version": known["key_version"] + newer})
        placements.link_node(db, nodes.traits(row))
        return row

    def _admit(self, row: sqlite3.Row, now: datetime) -> dict[str, Any]:
        self._core.credentials.know_node(row["id"], row["key_version"])
        self._registry.put(_member(row, now))
        key = self._core.credentials.node_key(row["id"], row["key_version"])
        return nodes.public(row) | {"api_key": key}

    async def heartbeat(self, node_id: str, body: Heartbeat) -> dict[str, Any]:
        """Note that the node lives, renew what it holds, and say what it shall cancel; returns HeartbeatReply."""
        member = self._registry.members.get(node_id)
        if member is None:
            raise Unauthenticated("this node is not registered: register it again")
        now = self._core.clock()
        member.seen(now)
        member.written(now)
        learnt = legacy.heard_heartbeat(member, body, now) if member.wire < 2 else {}
        reply, moved = await self._core.writer.run(lambda db: self._heartbeat(db, member, body, learnt, now))
        for task_id in moved:
            self._core.hub.publish(task_id)
        return reply

    def _heartbeat(
        self, db: sqlite3.Connection, member: Member, body: Heartbeat, learnt: dict[str, Any], now: datetime
    ) -> tuple[dict[str, Any], list[str]]:
        node_id = member.traits.node_id
        legacy.remember(db, member, learnt)
        told = body.running or []
        current = body.current_task_id or (told[0].task_id if told else None)
        row = nodes.heartbeat(
            db,
            node_id,
            status=body.status,
            task_id=current,
            load=body.load,
            disk_free=body.disk_free,
            now=iso(now),
        )
        if row is None:
            raise Unauthenticated("this node is not registered any more: register it again")
        holds = claims.held(db, node_id)
        reply = nodes.public(row)
        reply["drain"] = row["state"] != NodeState.ACTIVE
        reply["lease_seconds"] = int(member.lease)
        if member.wire < 2:
            return reply, legacy.heartbeat(db, member, holds, body, now)
        reply["cancel"] = _renewed(db, member, holds, body, now)
        return reply, []

    async def page(self, *, after: str, limit: int) -> list[dict[str, Any]]:
        """Nodes by name, those after the name `after`, in the shape of Node."""
        rows = await self._core.readers.run(lambda db: nodes.page(db, after=after, limit=limit))
        return [nodes.public(row) for row in rows]

    async def one(self, node_id: str) -> dict[str, Any]:
        """One node by id or name. Raises NotFound."""
        row = await self._core.readers.run(lambda db: nodes.by_id(db, node_id) or nodes.by_name(db, node_id))
        return nodes.public(_there(row, node_id))

    async def set_state(self, node_id: str, state: NodeState) -> dict[str, Any]:
        """Drain or resume a node. Raises NotFound."""
        row = await self._core.writer.run(lambda db: nodes.set_state(db, node_id, state))
        if state is NodeState.ACTIVE:
            self._waiters.wake_node(node_id)
        return nodes.public(_there(row, node_id))

    async def stats(self) -> dict[str, int]:
        """The figures of GET /dashboard/stats; today begins at midnight UTC."""
        day = iso(self._core.clock().replace(hour=0, minute=0, second=0, microsecond=0))

        def read(db: sqlite3.Connection) -> dict[str, int]:
            by_status = nodes.counts(db)
            total, offline = sum(by_status.values()), by_status.get(NodeStatus.OFFLINE, 0)
            return {
                "total_nodes": total,
                "active_nodes": total - offline,
                "idle_nodes": by_status.get(NodeStatus.IDLE, 0),
                "offline_nodes": offline,
                **tasks.counts(db, day=day),
            }

        return await self._core.readers.run(read)


def _renewed(
    db: sqlite3.Connection, member: Member, holds: list[sqlite3.Row], body: Heartbeat, now: datetime
) -> list[dict[str, Any]]:
    """Renew the attempts that the node lists; returns those that it shall end."""
    ours = {(row["id"], row["attempt"]): row for row in holds}
    cancel = []
    for each in body.running or ():
        row = ours.get((each.task_id, each.attempt))
        if row is not None:
            claims.renew(db, each.task_id, each.attempt, lease=after(now, member.lease))
        # What the node still runs and does not hold any more is an orphan.
        if row is None or row["cancel_requested_at"]:
            cancel.append({"task_id": each.task_id, "attempt": each.attempt})
    return cancel


def _may_return(identity: Identity, known: sqlite3.Row, token: Any) -> None:
    if identity.caller is Caller.NODE and identity.node_id != known["id"]:
        raise Forbidden(f"this key is not that of the node {known['name']!r}: register with its own key")
    if token is not None and known["token_id"] not in (None, token.id):
        raise Conflict(
            f"a node named {known['name']!r} joined with another registration token: use that one, or another name"
        )


def _there(row: sqlite3.Row | None, node_id: str) -> sqlite3.Row:
    if row is None:
        raise NotFound(f"no node {node_id}")
    return row


def _new(now: datetime) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "status": NodeStatus.OFFLINE,
        "state": NodeState.ACTIVE,
        "key_version": 1,
        "created_at": iso(now),
        "slots": 1,
    }


def _member(row: sqlite3.Row, now: datetime) -> Member:
    offline = row["status"] == NodeStatus.OFFLINE
    last_seen = parse(row["last_seen_at"]) if offline and row["last_seen_at"] else now
    # an older runner runs one container at a time, whatever an admin wrote down for it
    slots = row["slots"] if row["wire"] >= 2 else 1
    generation, interval = Generation(row["generation"]), row["poll_interval"]
    noted = None if offline else now
    return Member(nodes.traits(row), row["wire"], slots, last_seen, generation, interval, offline=offline, noted=noted)


def _generation(known: sqlite3.Row | None, body: Register) -> Generation:
    """What the client that registers so is taken for; one that has shown more before is trusted to be the same."""
    if body.wire >= 2:
        return Generation.WIRE2
    before = Generation.OLD if known is None else Generation(known["generation"])
    return generations.learn(before, Sign.REGISTERED_PUSH if body.mode is NodeMode.PUSH else Sign.REGISTERED_PULL)


def silent(members: Iterable[Member], now: datetime) -> list[Member]:
    """Members that have just been silent for too long."""
    return [member for member in members if not member.offline and member.silent(now)]
