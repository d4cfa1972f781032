"""A request that is sent twice makes one task: `Idempotency-Key`, kept for a day for each caller."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from qb.domain.errors import Conflict
from qb.domain.times import after, iso
from qb.service.credentials import Credentials, Identity
from qb.store import idempotency, tasks

KEPT = 24 * 3600.0
"""Seconds for which a key is remembered."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One caller's key, and the fingerprint of the body that it came with: a body may hold secrets."""

    caller: str
    key: str
    digest: str

    @classmethod
    def of(cls, credentials: Credentials, identity: Identity, key: str, body: BaseModel) -> "Promise":
        """The promise of this request. Keys of different callers never meet.

        Fields at their defaults are left out, so that a release with new fields knows the keys of the one before.
        """
        digest = credentials.fingerprint(body.model_dump_json(exclude_defaults=True))
        return cls(f"{identity.caller}:{identity.key_id or identity.name}", key, digest)


def made_before(db: sqlite3.Connection, promise: Promise, now: datetime) -> dict[str, Any] | None:
    """The task that the key has made, as it is now. Raises Conflict when it came with another body."""
    known = idempotency.get(db, promise.caller, promise.key, since=after(now, -KEPT))
    if known is None:
        return None
    digest, task_id = known
    if digest != promise.digest:
        raise Conflict(f"this Idempotency-Key has made task {task_id} of another body: use a new key for a new task")
    return tasks.show(db, task_id)


def keep(db: sqlite3.Connection, promise: Promise, task_id: str, now: datetime) -> None:
    """Remember the task; keys that are a day old go."""
    idempotency.forget(db, until=after(now, -KEPT))
    idempotency.put(db, promise.caller, promise.key, digest=promise.digest, task_id=task_id, now=iso(now))
