"""Deleting what is old, a few rows at a time.

The newest event always stays, so that no id of an event is given out twice: streams and webhooks go by them.
"""

import sqlite3
from collections.abc import Sequence

_MARK = "SELECT through FROM retention_marks WHERE kind = ?"
_SET_MARK = """
INSERT INTO retention_marks (kind, through) VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET through = excluded.through
"""
_ENDED = """
SELECT id, completed_at FROM tasks WHERE completed_at > ? AND completed_at <= ? ORDER BY completed_at LIMIT ?
"""
_REMOVABLE = """
SELECT t.id FROM tasks t WHERE t.completed_at <= :upto
    AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.task_id = t.id)
    AND NOT EXISTS (
        SELECT 1 FROM task_events e WHERE e.task_id = t.id AND e.id = (SELECT max(id) FROM task_events))
ORDER BY t.completed_at LIMIT :limit
"""
_OUTPUT = """
DELETE FROM output_lines WHERE id IN (
    SELECT o.id FROM output_logs l JOIN output_lines o ON o.id > l.id << 28 AND o.id < (l.id + 1) << 28
    WHERE l.task_id = ? LIMIT ?)
"""
_EVENTS = """
DELETE FROM task_events WHERE id IN (
    SELECT id FROM task_events WHERE task_id = ? AND id < (SELECT max(id) FROM task_events) LIMIT ?)
"""
_TRANSCRIPTS = """
DELETE FROM crush_messages WHERE (task_id, session_id, position) IN (
    SELECT task_id, session_id, position FROM crush_messages WHERE task_id = ? LIMIT ?)
"""
_ARTIFACTS = """
DELETE FROM artifacts WHERE (task_id, name) IN (SELECT task_id, name FROM artifacts WHERE task_id = ? LIMIT ?)
"""
_OF_TASKS = {"output": _OUTPUT, "events": _EVENTS, "transcripts": _TRANSCRIPTS, "artifacts": _ARTIFACTS}
_AUDIT = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at <= ? LIMIT ?)"
_WEBHOOKS = """
DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE done_at <= ? LIMIT ?)
"""
_HOURLY = {
    "hourly_endings": "hour, status, reason",
    "hourly_durations": "hour, what, tenths",
    "hourly_queue": "hour",
    "hourly_spending": "hour, client, model",
}
_HOURS = {
    table: f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE hour < substr(?, 1, 13) LIMIT ?)"  # noqa: S608 - constants
    for table, key in _HOURLY.items()
}
_BY_TIME = {"audit": _AUDIT, "webhooks": _WEBHOOKS, **_HOURS}
HOURLY = tuple(_HOURLY)
"""The tables of sums by the hour (qb.store.hours)."""

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
_COLUMNS = "SELECT name, pk FROM pragma_table_info(?)"


def mark(db: sqlite3.Connection, kind: str) -> str:
    """Up to and with tasks that ended then, `kind` is gone already."""
    row = db.execute(_MARK, (kind,)).fetchone()
    return "" if row is None else str(row[0])


def set_mark(db: sqlite3.Connection, kind: str, through: str) -> None:
    """Remember how far `kind` is gone."""
    db.execute(_SET_MARK, (kind, through))


def ended(db: sqlite3.Connection, after: str, upto: str, limit: int) -> list[tuple[str, str]]:
    """Tasks that ended after `after` and not after `upto`, with when, the oldest end first."""
    return [(row[0], row[1]) for row in db.execute(_ENDED, (after, upto, limit))]


def thin(db: sqlite3.Connection, kind: str, task_id: str, limit: int) -> int:
    """Delete up to `limit` rows of `kind` that belong to the task; returns how many there were."""
    return db.execute(_OF_TASKS[kind], (task_id, limit)).rowcount


def expire(db: sqlite3.Connection, kind: str, upto: str, limit: int) -> int:
    """Delete up to `limit` rows of `kind` (audit, webhooks, one of HOURLY) that are not younger than `upto`."""
    return db.execute(_BY_TIME[kind], (upto, limit)).rowcount


def removable(db: sqlite3.Connection, upto: str, limit: int) -> list[str]:
    """Tasks that ended not after `upto`, and that nothing needs: a schedule's pattern stays."""
    return [row[0] for row in db.execute(_REMOVABLE, {"upto": upto, "limit": limit})]


def remove(db: sqlite3.Connection, task_ids: Sequence[str], limit: int) -> int:
    """Delete tasks with all that belongs to them, until `limit` rows are gone; returns how many tasks are."""
    gone = rows = 0
    statements = [*_OF_TASKS.values(), *(_some_of(db, table) for table in _belonging(db))]
    for task_id in task_ids:
        for statement in statements:
            rows += db.execute(statement, (task_id, limit - rows)).rowcount
            if rows >= limit:
                return gone
        db.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
        gone += 1
    return gone


def _some_of(db: sqlite3.Connection, table: str) -> str:
    """What deletes up to so many of a task's rows: SQLite as it comes has no LIMIT for a DELETE."""
    key = ", ".join(name for name, place in db.execute(_COLUMNS, (table,)) if place) or "rowid"
    return f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE task_id = ? LIMIT ?)"  # noqa: S608 - names of our schema


def _belonging(db: sqlite3.Connection) -> list[str]:
    """Every table whose rows name a task, whoever added it."""
    names = [row[0] for row in db.execute(_TABLES)]
    return [name for name in names if "task_id" in {column[0] for column in db.execute(_COLUMNS, (name,))}]
