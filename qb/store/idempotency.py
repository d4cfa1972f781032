"""Idempotency keys: which task a caller's key has made, so that a repeated request makes no second one."""

import sqlite3

_GET = "SELECT digest, task_id FROM idempotency_keys WHERE caller = ? AND key = ? AND created_at > ?"
_PUT = "INSERT OR REPLACE INTO idempotency_keys (caller, key, digest, task_id, created_at) VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM idempotency_keys WHERE created_at <= ?"


def get(db: sqlite3.Connection, caller: str, key: str, *, since: str) -> tuple[str, str] | None:
    """Digest of the body and id of the task that the key has made since then, or None."""
    row = db.execute(_GET, (caller, key, since)).fetchone()
    return None if row is None else (row["digest"], row["task_id"])


def put(db: sqlite3.Connection, caller: str, key: str, *, digest: str, task_id: str, now: str) -> None:
    """Remember what the key has made."""
    db.execute(_PUT, (caller, key, digest, task_id, now))


def forget(db: sqlite3.Connection, *, until: str) -> None:
    """Drop the keys of then and before."""
    db.execute(_FORGET, (until,))
