"""Who did what: administrative acts one by one, refused credentials counted, a line a minute and kind."""

import asyncio
import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qb.contract.acts import Action, Outcome
from qb.contract.routes import Route
from qb.domain.errors import QuarterbackError
from qb.domain.times import iso
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.secrets import PREFIX_CHARS
from qb.store import audit

KINDS_KEPT = 1000
"""Kinds of refusal counted apart within a minute; those beyond are counted together."""

_OURS = re.compile(r"qb[a-z]_[A-Za-z0-9_-]{32,}").fullmatch


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for something, and from where. `address` is None where the server cannot know."""

    identity: Identity
    address: str | None = None


def note(
    db: sqlite3.Connection,
    actor: Actor,
    action: Action,
    object_id: str | None,
    *,
    now: datetime,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write an act down, in the transaction that carries it out where that is one of qb.db."""
    audit.add(
        db,
        at=iso(now),
        actor=actor.identity.name,
        actor_id=actor.identity.key_id,
        action=action,
        object_id=object_id,
        outcome=Outcome.DONE,
        address=actor.address,
        detail=detail,
    )


def prefix_of(credential: str | None) -> str:
    """What may be written of a credential that was refused: the prefix of one in our form, of others nothing."""
    if not credential:
        return "no credential"
    return credential[:PREFIX_CHARS] if credential.isascii() and _OURS(credential) else "another form"


@dataclass(slots=True)
class _Refusal:
    """One line of the log as it grows. `entry_id` is its row, once it has one."""

    at: datetime
    actor: str
    actor_id: str | None
    detail: dict[str, Any]
    count: int = 0
    written: int = 0
    entry_id: int | None = None


class Audit:
    """Use cases about the audit log."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._writing = asyncio.Lock()
        self._refusals: dict[tuple[str | None, str, str], _Refusal] = {}

    async def page(self, *, before: int, limit: int, action: Action | None) -> tuple[list[dict[str, Any]], int | None]:
        """Lines, newest first, in the shape of AuditEntry, and where the next page begins."""
        await self.write()
        rows = await self._core.readers.run(lambda db: audit.page(db, before=before, limit=limit, action=action))
        return rows, rows[-1]["id"] if len(rows) == limit else None

    def refused(
        self,
        route: Route,
        credential: str | None,
        address: str | None,
        error: QuarterbackError,
        identity: Identity | None = None,
    ) -> None:
        """Count a refused credential; `write` makes it last. `identity` is whose it is, where that is known."""
        actor = prefix_of(credential) if identity is None else identity.name
        key: tuple[str | None, str, str] = (address, actor, error.code)
        if key not in self._refusals and len(self._refusals) >= KINDS_KEPT:
            key, address, actor, identity = (None, "", ""), None, "many", None
        refusal = self._refusals.get(key)
        if refusal is None:
            detail = {"code": error.code.value, "route": route.name}
            key_id = identity.key_id if identity else None
            refusal = self._refusals[key] = _Refusal(self._core.clock(), actor, key_id, detail)
        refusal.count += 1

    async def write(self) -> None:
        """Make what was counted durable, and begin a new line for what is older than a minute."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        grown = [(key[0], each) for key, each in self._refusals.items() if each.count > each.written]
        if grown:
            counts = [each.count for _, each in grown]

            def work(db: sqlite3.Connection) -> list[int]:
                return [_write(db, address, each, times) for (address, each), times in zip(grown, counts, strict=True)]

            for (_, each), times, entry_id in zip(grown, counts, await self._core.writer.run(work), strict=True):
                each.written, each.entry_id = times, entry_id
        now = self._core.clock()
        self._refusals = {
            key: each
            for key, each in self._refusals.items()
            if each.count > each.written or (now - each.at).total_seconds() < 60
        }


def _write(db: sqlite3.Connection, address: str | None, refusal: _Refusal, times: int) -> int:
    if refusal.entry_id is not None:
        audit.count(db, refusal.entry_id, times)
        return refusal.entry_id
    return audit.add(
        db,
        at=iso(refusal.at),
        actor=refusal.actor,
        actor_id=refusal.actor_id,
        action=Action.CREDENTIAL_REFUSED,
        object_id=None,
        outcome=Outcome.REFUSED,
        address=address,
        count=times,
        detail=refusal.detail,
    )
