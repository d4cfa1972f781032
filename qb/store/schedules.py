"""Schedules: tasks that recur. The task that a schedule was created as is the pattern of every run."""

import sqlite3
from dataclasses import dataclass
from typing import Any

_ADD = """
INSERT INTO schedules (task_id, recurrence, time_zone, missed_runs, next_run_at, created_at)
VALUES (:task_id, :recurrence, :time_zone, :missed_runs, :next_run_at, :created_at)
"""
_DUE = "SELECT * FROM schedules WHERE next_run_at <= ? ORDER BY next_run_at LIMIT ?"
_RAN = "UPDATE schedules SET next_run_at = ?, last_run_at = coalesce(?, last_run_at) WHERE task_id = ?"
_REMOVE = "DELETE FROM schedules WHERE task_id = ?"
_SHOW = """
SELECT t.id, t.title, p.prompt, s.recurrence, s.time_zone, s.missed_runs, s.next_run_at, s.last_run_at,
    t.created_at, t.created_by, t.seq
FROM schedules s JOIN tasks t ON t.id = s.task_id JOIN task_specs p ON p.task_id = t.id
"""
_PAGE = """
WHERE t.seq < :before AND (:owner IS NULL OR t.created_by_key = :owner) ORDER BY t.seq DESC LIMIT :limit
"""
_ONE = _SHOW + "WHERE s.task_id = ?"


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule of the pattern `task_id`; times are ISO 8601 UTC."""

    task_id: str
    recurrence: str
    time_zone: str
    missed_runs: str
    next_run_at: str
    created_at: str


def add(db: sqlite3.Connection, new: NewSchedule) -> None:
    """Begin a schedule."""
    db.execute(_ADD, {name: getattr(new, name) for name in NewSchedule.__slots__})


def due(db: sqlite3.Connection, *, now: str, limit: int) -> list[sqlite3.Row]:
    """Schedules whose next run has come."""
    return db.execute(_DUE, (now, limit)).fetchall()


def ran(db: sqlite3.Connection, task_id: str, *, next_run_at: str | None, last_run_at: str | None) -> None:
    """Note when it runs next, and when it ran last where it did."""
    db.execute(_RAN, (next_run_at, last_run_at, task_id))


def remove(db: sqlite3.Connection, task_id: str) -> None:
    """End a schedule; what it made stays."""
    db.execute(_REMOVE, (task_id,))


def page(
    db: sqlite3.Connection, *, before: int, limit: int, owner: str | None
) -> tuple[list[dict[str, Any]], int | None]:
    """Schedules (of the key `owner`) before the one numbered `before`, newest first, in the shape of the contract's
    Schedule; and where the next page begins."""
    rows = db.execute(_SHOW + _PAGE, {"before": before, "limit": limit, "owner": owner}).fetchall()
    return [_public(row) for row in rows], rows[-1]["seq"] if len(rows) == limit else None


def show(db: sqlite3.Connection, task_id: str) -> dict[str, Any] | None:
    """One schedule, or None."""
    row = db.execute(_ONE, (task_id,)).fetchone()
    return None if row is None else _public(row)


def _public(row: sqlite3.Row) -> dict[str, Any]:
    schedule = dict(row)
    del schedule["seq"]
    return schedule
