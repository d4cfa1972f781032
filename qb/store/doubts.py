"""What is not known of attempts that older clients hold, and the keys that they had before they registered anew.

A doubt says what happens to an attempt at its time unless the node resolves it first. Few attempts ever have one, so
they have a table of their own, and the hot ones stay as they are.
"""

import sqlite3
from typing import Any

_PUT = """
INSERT INTO doubts (task_id, attempt, event, due_at) VALUES (:task_id, :attempt, :event, :due_at)
ON CONFLICT (task_id) DO UPDATE SET attempt = excluded.attempt, event = excluded.event, due_at = excluded.due_at
WHERE doubts.attempt != excluded.attempt OR doubts.event = :weaker
"""
_GET = "SELECT event FROM doubts WHERE task_id = ? AND attempt = ?"
_DROP = "DELETE FROM doubts WHERE task_id = ?"
_ANY_DUE = "SELECT 1 FROM doubts WHERE due_at <= ? LIMIT 1"
_DUE = """
SELECT d.task_id AS doubted, d.event, t.* FROM doubts d
LEFT JOIN tasks t ON t.id = d.task_id AND t.attempt = d.attempt AND t.lease_expires_at IS NOT NULL
WHERE d.due_at <= ? ORDER BY d.due_at LIMIT ?
"""
_POSTPONE = "UPDATE doubts SET due_at = ? WHERE due_at < ?"
_EXTEND = """
UPDATE tasks INDEXED BY tasks_held SET lease_expires_at = ? WHERE assigned_node_id = ? AND lease_expires_at IS NOT NULL
"""
_REPLACE_KEY = "INSERT OR REPLACE INTO replaced_keys (node_id, key_version, at) VALUES (?, ?, ?)"
_REPLACED_AT = "SELECT min(at) FROM replaced_keys WHERE node_id = ? AND key_version >= ?"
_LAST_BEFORE = "SELECT max(attempt) FROM attempts WHERE task_id = ? AND node_id = ? AND (? IS NULL OR claimed_at <= ?)"
_END = "SELECT ended_at, outcome FROM attempts WHERE task_id = ? AND attempt = ?"


def put(db: sqlite3.Connection, row: sqlite3.Row, event: str, *, due: str, weaker: str) -> None:
    """Doubt the attempt of `row`; a doubt that it has already stays, unless its event is `weaker`."""
    values = {"task_id": row["id"], "attempt": row["attempt"], "event": event, "due_at": due, "weaker": weaker}
    db.execute(_PUT, values)


def get(db: sqlite3.Connection, row: sqlite3.Row) -> str | None:
    """The event of the doubt about the attempt of `row`, if there is one."""
    found = db.execute(_GET, (row["id"], row["attempt"])).fetchone()
    return None if found is None else str(found[0])


def drop(db: sqlite3.Connection, task_id: str) -> None:
    """Doubt no more."""
    db.execute(_DROP, (task_id,))


def any_due(db: sqlite3.Connection, *, now: str) -> bool:
    """Whether the time of any doubt has come."""
    return db.execute(_ANY_DUE, (now,)).fetchone() is not None


def due(db: sqlite3.Connection, *, now: str, limit: int) -> list[sqlite3.Row]:
    """Doubts whose time has come: `doubted` (the task's id), `event`, and the task where the attempt still lives."""
    return db.execute(_DUE, (now, limit)).fetchall()


def postpone(db: sqlite3.Connection, *, until: str) -> None:
    """Let no doubt's time come before `until`."""
    db.execute(_POSTPONE, (until, until))


def extend(db: sqlite3.Connection, node_id: str, *, lease: str) -> None:
    """Prolong what the node holds, which it has not asked for."""
    db.execute(_EXTEND, (lease, node_id))


def replace_key(db: sqlite3.Connection, node_id: str, version: int, *, now: str) -> None:
    """Note when the node's key of this version gave way to a newer one."""
    db.execute(_REPLACE_KEY, (node_id, version, now))


def replaced_at(db: sqlite3.Connection, node_id: str, version: int) -> str | None:
    """When the key of this version gave way, or None."""
    found: str | None = db.execute(_REPLACED_AT, (node_id, version)).fetchone()[0]
    return found


def last_before(db: sqlite3.Connection, task_id: str, node_id: str, moment: str | None) -> int | None:
    """The newest attempt of the task that the node had been given by then, or None."""
    found: int | None = db.execute(_LAST_BEFORE, (task_id, node_id, moment, moment)).fetchone()[0]
    return found


def end_of(db: sqlite3.Connection, task_id: str, attempt: int) -> tuple[Any, Any]:
    """When the attempt ended and what it came to; None for what is not known."""
    found = db.execute(_END, (task_id, attempt)).fetchone()
    return (None, None) if found is None else (found["ended_at"], found["outcome"])
