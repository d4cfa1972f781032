"""Webhooks (in keys.db: an address may hold a secret of its receiver) and their deliveries (in qb.db)."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields

SCHEMA = """
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY, url TEXT NOT NULL, events TEXT NOT NULL, description TEXT,
    created_at TEXT NOT NULL, created_by TEXT NOT NULL, after_event INTEGER NOT NULL
) WITHOUT ROWID"""

_ADD = """
INSERT INTO webhooks (id, url, events, description, created_at, created_by, after_event) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_ALL = "SELECT * FROM webhooks ORDER BY created_at, id"
_REMOVE = "DELETE FROM webhooks WHERE id = ?"
_CURSOR = "SELECT event_id FROM webhook_cursor"
_SET_CURSOR = """
INSERT INTO webhook_cursor (one, event_id) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET event_id = excluded.event_id
"""
_NEWEST = "SELECT coalesce(max(id), 0) FROM task_events"
# A status is news where the event before it left the task in another one.
_NEWS = """
SELECT e.id, e.task_id, e.attempt, e.at, e.kind, e.node_id, e.status, e.message, e.detail ->> '$.reason' AS reason,
    (SELECT title FROM tasks WHERE id = e.task_id) AS title
FROM task_events e
WHERE e.id > :after AND e.id <= :upto AND e.applied AND e.status IS NOT NULL AND e.status IS NOT (
    SELECT b.status FROM task_events b
    WHERE b.task_id = e.task_id AND b.id < e.id AND b.applied AND b.status IS NOT NULL ORDER BY b.id DESC LIMIT 1)
ORDER BY e.id
"""
_WAITING = "SELECT count(*) FROM webhook_deliveries WHERE webhook_id = ? AND due_at IS NOT NULL"
_QUEUE = """
INSERT OR IGNORE INTO webhook_deliveries (webhook_id, event_id, kind, body, due_at, created_at)
VALUES (:webhook_id, :event_id, :kind, :body, :now, :now)
"""
_DROP = """
INSERT OR IGNORE INTO webhook_deliveries (webhook_id, event_id, kind, body, done_at, outcome, created_at)
VALUES (:webhook_id, :event_id, :kind, '', :now, 'dropped', :now)
"""
_DUE = """
SELECT id, event_id, kind, body, attempts, created_at FROM webhook_deliveries
WHERE webhook_id = ? AND due_at <= ? ORDER BY due_at LIMIT ?
"""
_DONE = """
UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = NULL, done_at = :now, outcome = :outcome,
    http_status = :status, error = :error, body = ''
WHERE id = :id AND due_at IS NOT NULL
"""
_AGAIN = """
UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = :due, http_status = :status, error = :error
WHERE id = :id AND due_at IS NOT NULL
"""
_FORGET = "DELETE FROM webhook_deliveries WHERE webhook_id = ?"
_COUNTS = """
SELECT webhook_id, coalesce(outcome, 'waiting') AS outcome, count(*) AS count FROM webhook_deliveries
GROUP BY webhook_id, outcome
"""
_LAST_ERROR = """
SELECT error FROM webhook_deliveries WHERE webhook_id = ? AND error IS NOT NULL ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A webhook as keys.db holds it. `events` is separated by blanks; events up to `after_event` do not concern it."""

    id: str
    url: str
    events: str
    description: str | None
    created_at: str
    created_by: str
    after_event: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due."""

    id: int
    event_id: int
    kind: str
    body: str
    attempts: int
    created_at: str


# keys.db


def add(db: sqlite3.Connection, webhook: StoredWebhook) -> None:
    """Keep a webhook."""
    db.execute(_ADD, [getattr(webhook, field.name) for field in fields(StoredWebhook)])


def every(db: sqlite3.Connection) -> list[StoredWebhook]:
    """Every webhook, oldest first."""
    return [StoredWebhook(**dict(row)) for row in db.execute(_ALL)]


def remove(db: sqlite3.Connection, webhook_id: str) -> None:
    """Forget a webhook."""
    db.execute(_REMOVE, (webhook_id,))


# qb.db


def cursor(db: sqlite3.Connection) -> int:
    """Events up to this one have been looked at."""
    row = db.execute(_CURSOR).fetchone()
    return 0 if row is None else int(row[0])


def newest(db: sqlite3.Connection) -> int:
    """The newest event's id."""
    return int(db.execute(_NEWEST).fetchone()[0])


def set_cursor(db: sqlite3.Connection, event_id: int) -> None:
    """Remember how far events have been looked at."""
    db.execute(_SET_CURSOR, (event_id,))


def news(db: sqlite3.Connection, after: int, upto: int) -> list[sqlite3.Row]:
    """Events with ids in (after, upto] that brought their task into another status."""
    return db.execute(_NEWS, {"after": after, "upto": upto}).fetchall()


def waiting(db: sqlite3.Connection, webhook_id: str) -> int:
    """How many deliveries of the webhook wait."""
    return int(db.execute(_WAITING, (webhook_id,)).fetchone()[0])


def queue(db: sqlite3.Connection, deliveries: Sequence[dict[str, object]], *, dropped: bool = False) -> None:
    """Have deliveries (webhook_id, event_id, kind, body, now) made, or only note them as dropped."""
    db.executemany(_DROP if dropped else _QUEUE, deliveries)


def due(db: sqlite3.Connection, webhook_id: str, now: str, limit: int) -> list[Waiting]:
    """Deliveries whose time has come."""
    return [Waiting(**dict(row)) for row in db.execute(_DUE, (webhook_id, now, limit))]


def done(
    db: sqlite3.Connection, delivery_id: int, outcome: str, *, now: str, status: int | None, error: str | None
) -> None:
    """Note that a delivery was made (``delivered``) or given up (``failed``); its body is not kept."""
    db.execute(_DONE, {"id": delivery_id, "outcome": outcome, "now": now, "status": status, "error": error})


def again(db: sqlite3.Connection, delivery_id: int, *, due: str, status: int | None, error: str | None) -> None:
    """Try once more at `due`."""
    db.execute(_AGAIN, {"id": delivery_id, "due": due, "status": status, "error": error})


def forget(db: sqlite3.Connection, webhook_id: str) -> None:
    """Delete the deliveries of a webhook that is gone."""
    db.execute(_FORGET, (webhook_id,))


def counts(db: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """By webhook: how many deliveries had which outcome, or are ``waiting``."""
    found: dict[str, dict[str, int]] = {}
    for row in db.execute(_COUNTS):
        found.setdefault(row["webhook_id"], {})[row["outcome"]] = row["count"]
    return found


def last_error(db: sqlite3.Connection, webhook_id: str) -> str | None:
    """What went wrong last with the webhook's deliveries."""
    row = db.execute(_LAST_ERROR, (webhook_id,)).fetchone()
    return None if row is None else str(row[0])
