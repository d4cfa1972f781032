"""Figures about the whole database, for metrics: each an index's count, so that a look costs little."""

import sqlite3
from dataclasses import dataclass

_QUEUE = """
SELECT (SELECT count(*) FROM tasks WHERE status = 'pending') AS pending,
    (SELECT count(*) FROM tasks WHERE claimable = 1) AS claimable
"""
_OLDEST = "SELECT created_at FROM tasks WHERE status = 'pending' ORDER BY seq LIMIT 1"
_LIVE = "SELECT status, count(*) FROM tasks WHERE status IN ('assigned', 'running', 'analyzing') GROUP BY status"
_NODES = "SELECT status, state, count(*) FROM nodes GROUP BY status, state"
_LAST_EVENT = "SELECT coalesce(max(id), 0) FROM task_events"
_EVENTS = "SELECT kind, count(*) FROM task_events WHERE id > ? AND id <= ? GROUP BY kind"


@dataclass(frozen=True, slots=True)
class Figures:
    """One look. `oldest` is when the task was created that has been pending longest, ISO 8601 UTC."""

    claimable: int
    waiting: int
    oldest: str | None
    live: dict[str, int]
    nodes: dict[tuple[str, str], int]


def look(db: sqlite3.Connection) -> Figures:
    """Count what there is now."""
    queue = db.execute(_QUEUE).fetchone()
    oldest = db.execute(_OLDEST).fetchone()
    return Figures(
        claimable=queue["claimable"],
        waiting=queue["pending"] - queue["claimable"],
        oldest=None if oldest is None else oldest[0],
        live={row[0]: row[1] for row in db.execute(_LIVE)},
        nodes={(row[0], row[1]): row[2] for row in db.execute(_NODES)},
    )


def last_event(db: sqlite3.Connection) -> int:
    """The newest event's id, 0 when there is none."""
    return int(db.execute(_LAST_EVENT).fetchone()[0])


def events(db: sqlite3.Connection, after: int, upto: int) -> dict[str, int]:
    """How many events of each kind came after the id `after`, up to and with the id `upto`."""
    return {row[0]: row[1] for row in db.execute(_EVENTS, (after, upto))}
