"""The registry of nodes: joining, coming back, and what it says of them."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import structlog

from qb.contract.nodes import Register
from qb.contract.routes import Caller
from qb.contract.states import Generation, NodeMode, NodeStatus
from qb.domain import generations, leases
from qb.domain.epochs import SETTLE, floor
from qb.domain.errors import Conflict, Forbidden, StorageFull
from qb.domain.generations import Sign
from qb.domain.times import after, iso
from qb.service import legacy
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.joining import spent
from qb.service.node_admin import find, fresh
from qb.service.registry import Member, Registry, member_of
from qb.service.ripples import Ripples
from qb.service.waiters import Waiters
from qb.store import claims, doubts, epochs, nodes, placements, tasks
from qb.store.registration_tokens import RegistrationToken

log = structlog.get_logger(__name__)


async def load(core: Core) -> Registry:
    """Read every node, and give what they hold its time anew; where the disk is full, the scheduler does that later."""
    registry = Registry()
    now = core.clock()
    for row in await core.readers.run(nodes.every):
        _know_key(core, row)
        registry.put(member_of(row, now))
    registry.floor = floor(await core.readers.run(epochs.current))
    try:
        await give_full_terms(core, registry)
    except StorageFull as error:
        log.error("leases get their full term as soon as there is room", error=str(error))
    return registry


async def give_full_terms(core: Core, registry: Registry) -> None:
    """Once after a start, before any lease may expire: the server was away, not the nodes. Raises StorageFull."""
    if registry.full_terms:
        return
    now = core.clock()

    def work(db: sqlite3.Connection) -> None:
        claims.full_term(db, lease=after(now, leases.LEASE), old_lease=after(now, leases.OLD_LEASE))
        epochs.open_first(db, now=iso(now), until=after(now, SETTLE))
        legacy.full_terms(db, list(registry.members.values()), now)

    await core.writer.run(work)
    registry.full_terms = True


class Fleet:
    """Use cases about nodes."""

    def __init__(self, core: Core, registry: Registry, waiters: Waiters) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters

    async def register(self, identity: Identity, body: Register, token: RegistrationToken | None) -> dict[str, Any]:
        """Let a machine join, or come back under its name with a new key; returns Registered.

        `token` is the registration token's record, None when the node's own key speaks. Raises Forbidden for a name
        outside the token's glob or a push address without leave, and Conflict for a name that another token holds.
        """
        name = body.name or body.hostname
        if token is not None and not fnmatchcase(name, token.name_glob):
            raise Forbidden(f"this registration token does not let {name!r} in: its names match {token.name_glob!r}")
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> tuple[sqlite3.Row, Ripples]:
            ripples = Ripples()
            row = self._register(db, identity, body, name, token, now, ripples)
            return row, ripples.resolve(db)

        if token is None or token.max_uses is None:
            return self._admit(*await self._core.writer.run(work), now)
        known = await self._core.readers.run(lambda db: nodes.by_name(db, name))
        async with spent(self._core, token, new_name=known is None):
            return self._admit(*await self._core.writer.run(work), now)

    def _register(
        self,
        db: sqlite3.Connection,
        identity: Identity,
        body: Register,
        name: str,
        token: RegistrationToken | None,
        now: datetime,
        ripples: Ripples,
    ) -> sqlite3.Row:
        known = nodes.by_name(db, name)
        _may_push(body, known, token)
        values = body.model_dump(exclude={"name", "tags", "capabilities"}) | {
            "name": name,
            "generation": _generation(known, body),
            "registered_at": iso(now),
            "last_seen_at": iso(now),
            "status": NodeStatus.IDLE,
        }
        if body.mode is NodeMode.PULL:
            values["api_endpoint"] = None
        elif body.api_endpoint is None and known is not None:
            del values["api_endpoint"]  # as the admin said
        # Empty or absent tags and capabilities never overwrite the operator's.
        values |= {key: given for key in ("tags", "capabilities") if (given := getattr(body, key))}
        if token is not None:
            values |= {"token_id": token.id, "takeover_allowed": False}
        if known is None:
            if identity.caller is Caller.NODE:
                raise Forbidden(f"this key is not that of a node named {name!r}: register with a registration token")
            row = nodes.insert(db, fresh(now) | {"tags": {}, "capabilities": []} | values)
        else:
            _may_return(identity, known, token)
            if known["wire"] < 2:
                legacy.restarted(db, known, wire=body.wire, now=now, ripples=ripples)
            if identity.caller is not Caller.NODE:
                doubts.replace_key(db, known["id"], known["key_version"], now=iso(now))
            if "slots" not in body.model_fields_set:
                del values["slots"]
            row = nodes.update(db, known["id"], values | _key_after(identity, known))
        placements.link_node(db, nodes.traits(row))
        return row

    def _admit(self, row: sqlite3.Row, ripples: Ripples, now: datetime) -> dict[str, Any]:
        log.info("node joined", node=row["name"], node_id=row["id"], wire=row["wire"])
        _know_key(self._core, row)
        # who waits with the key of before gets nothing any more
        self._waiters.end(row["id"])
        self._registry.put(member_of(row, now))
        ripples.tell(self._core.hub, self._waiters)
        key = self._core.credentials.node_key(row["id"], row["key_version"])
        return nodes.public(row) | {"api_key": key}

    async def page(self, *, after: str, limit: int) -> list[dict[str, Any]]:
        """Nodes by name, those after the name `after`, in the shape of Node."""
        rows = await self._core.readers.run(lambda db: nodes.page(db, after=after, limit=limit))
        return [nodes.public(row) for row in rows]

    async def one(self, node_id: str) -> dict[str, Any]:
        """One node by id or name. Raises NotFound."""
        return nodes.public(await self._core.readers.run(lambda db: find(db, node_id)))

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


def _key_after(identity: Identity, known: sqlite3.Row) -> dict[str, Any]:
    """Which keys of a node count once it has come back."""
    if identity.caller is not Caller.NODE:
        version = known["key_version"] + 1
        return {"key_version": version, "oldest_key": version, "old_keys_until": None}
    # With its own key it keeps that key: were the reply with a newer one lost, it could never come back.
    return {
        "key_version": max(known["key_version"], identity.key_version),
        "oldest_key": max(known["oldest_key"], min(identity.key_version, known["key_version"])),
    }


def _generation(known: sqlite3.Row | None, body: Register) -> Generation:
    """What the client that registers so is taken for; one that has shown more before is trusted to be the same."""
    if body.wire >= 2:
        return Generation.WIRE2
    before = Generation.OLD if known is None else Generation(known["generation"])
    return generations.learn(before, Sign.REGISTERED_PUSH if body.mode is NodeMode.PUSH else Sign.REGISTERED_PULL)


def _know_key(core: Core, row: sqlite3.Row) -> None:
    core.credentials.know_node(row["id"], row["key_version"], oldest=row["oldest_key"], until=row["old_keys_until"])


def _may_return(identity: Identity, known: sqlite3.Row, token: RegistrationToken | None) -> None:
    if identity.caller is Caller.NODE and identity.node_id != known["id"]:
        raise Forbidden(f"this key is not that of the node {known['name']!r}: register with its own key")
    if token is None or known["takeover_allowed"] or known["token_id"] == token.id:
        return
    if known["token_id"] is None and known["registered_at"] is None and known["last_seen_at"] is None:
        return  # the operator has registered it ahead, and this is its first contact
    raise Conflict(
        f"a node named {known['name']!r} joined with another registration token: use that one or another name, "
        "or ask the operator to allow the takeover"
    )


def _may_push(body: Register, known: sqlite3.Row | None, token: RegistrationToken | None) -> None:
    """The server connects only to where an admin or a token that allows push has said."""
    if body.mode is NodeMode.PULL or (token is not None and token.allows_push):
        return
    if known is None or known["mode"] != NodeMode.PUSH or body.api_endpoint not in (None, known["api_endpoint"]):
        raise Forbidden("mode: pushing to this address was not allowed: register with a token that allows push")


def silent(members: Iterable[Member], now: datetime) -> list[Member]:
    """Members that have just been silent for too long."""
    latest = now - timedelta(seconds=leases.OFFLINE)  # the shortest silence of all: most members need no closer look
    return [each for each in members if each.last_seen < latest and not each.offline and each.silent(now)]
