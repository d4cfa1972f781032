"""The append-only history of tasks."""

import json
import sqlite3
from typing import Any

_ADD = """
INSERT INTO task_events (task_id, attempt, at, kind, source, node_id, status, message, progress, seq, applied, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PAGE = "SELECT * FROM task_events WHERE task_id = ? AND id > ? ORDER BY id LIMIT ?"
_KNOWN = "SELECT 1 FROM task_events WHERE task_id = ? AND attempt = ? AND source = ? AND seq = ?"
# A status is news where the event before it left the task in another one.
_TURNS = """
SELECT e.task_id, e.attempt, e.kind, e.status, e.node_id, e.detail ->> '$.reason' AS reason FROM task_events e
WHERE e.id > ? AND e.id <= ? AND e.applied AND e.kind <> 'created'
    AND e.status IN ('success', 'error', 'cancelled', 'pending')
    AND e.status IS NOT (
        SELECT b.status FROM task_events b
        WHERE b.task_id = e.task_id AND b.id < e.id AND b.applied AND b.status IS NOT NULL ORDER BY b.id DESC LIMIT 1)
ORDER BY e.id
"""


def turns(db: sqlite3.Connection, after: int, upto: int) -> list[sqlite3.Row]:
    """Events with ids in (after, upto] that ended a task, or put it back in line."""
    return db.execute(_TURNS, (after, upto)).fetchall()


def add(
    db: sqlite3.Connection,
    *,
    task_id: str,
    attempt: int,
    at: str,
    kind: str,
    source: str,
    node_id: str | None = None,
    status: str | None = None,
    message: str | None = None,
    progress: int | None = None,
    seq: int | None = None,
    applied: bool = True,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write one event. `applied` False: it was heard, and changed nothing."""
    extra = json.dumps(detail, ensure_ascii=False) if detail else None
    row = (task_id, attempt, at, kind, source, node_id, status, message, progress, seq, applied, extra)
    db.execute(_ADD, row)


def known(db: sqlite3.Connection, task_id: str, attempt: int, source: str, seq: int) -> bool:
    """Whether this very report has been stored before."""
    return db.execute(_KNOWN, (task_id, attempt, source, seq)).fetchone() is not None


def page(db: sqlite3.Connection, task_id: str, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Events with an id above `after`, oldest first, in the shape of TaskEvent."""
    return [_public(row) for row in db.execute(_PAGE, (task_id, after, limit))]


def _public(row: sqlite3.Row) -> dict[str, Any]:
    event = {key: row[key] for key in row.keys() if key not in ("node_id", "seq")}  # noqa: SIM118
    event["applied"] = bool(row["applied"])
    event["detail"] = json.loads(row["detail"]) if row["detail"] else None
    return event
