"""How many tasks of one API key run at once.

The claim knows nothing of it. While a limited key has room, the first task of each of its lines is claimable; the
claim that uses the room up makes the others unclaimable in the same transaction, and the end of a task offers
them again. So the cost follows the number of lines of that key, not of its tasks.
"""

import sqlite3
from collections.abc import Mapping

_SET = """
INSERT INTO key_limits (key_id, max_running) VALUES (?, ?)
ON CONFLICT (key_id) DO UPDATE SET max_running = excluded.max_running WHERE max_running != excluded.max_running
"""
_LIMIT = "SELECT max_running FROM key_limits WHERE key_id = ?"
_RUNNING = "SELECT id FROM tasks WHERE limited_by = ? AND limited_by IS NOT NULL AND lease_expires_at IS NOT NULL"
_COUNT = "SELECT count(*) FROM tasks WHERE limited_by = ? AND limited_by IS NOT NULL AND lease_expires_at IS NOT NULL"
_WITHDRAW = "UPDATE tasks SET claimable = 0 WHERE limited_by = ? AND limited_by IS NOT NULL AND claimable = 1"
_WAITS = (
    "limited_by = :key AND limited_by IS NOT NULL AND status = 'pending' AND available_at IS NULL AND waits_for = 0"
)
_LINES = f"""
WITH RECURSIVE line(id) AS (
    SELECT min(placement_id) FROM tasks WHERE {_WAITS}
    UNION ALL
    SELECT (SELECT min(placement_id) FROM tasks WHERE {_WAITS} AND placement_id > line.id) FROM line
    WHERE line.id IS NOT NULL
) SELECT id FROM line WHERE id IS NOT NULL
"""  # noqa: S608 - joined of constants
_OFFER = f"""
UPDATE tasks SET claimable = 1 WHERE claimable = 0 AND id = (
    SELECT id FROM tasks WHERE {_WAITS} AND placement_id = :line AND schedule_id IS NOT id
    ORDER BY priority DESC, seq LIMIT 1)
"""  # noqa: S608 - joined of constants


_UNENDED = "status IN ('pending', 'assigned', 'running', 'analyzing')"
_BIND = f"""
UPDATE tasks INDEXED BY tasks_by_status SET limited_by = :key, claimable = 0
WHERE {_UNENDED} AND created_by_key = :key AND limited_by IS NULL
"""  # noqa: S608 - joined of constants
_FREE = f"""
UPDATE tasks INDEXED BY tasks_by_status SET limited_by = NULL,
    claimable = (status = 'pending' AND available_at IS NULL AND waits_for = 0 AND schedule_id IS NOT id)
WHERE {_UNENDED} AND limited_by = :key
"""  # noqa: S608 - joined of constants
_TASKS_OF_KEYS = f"""
SELECT DISTINCT created_by_key, limited_by FROM tasks INDEXED BY tasks_by_status
WHERE {_UNENDED} AND created_by_key IS NOT NULL
"""  # noqa: S608 - joined of constants
_NOTED = "SELECT key_id, max_running FROM key_limits"


def change(db: sqlite3.Connection, key_id: str, max_running: int | None) -> None:
    """A key has another limit, or None: it holds for all its tasks that have not ended."""
    if max_running is None:
        db.execute(_FREE, {"key": key_id})
        return
    db.execute(_BIND, {"key": key_id})
    db.execute(_SET, (key_id, max_running))
    db.execute(_WITHDRAW, (key_id,))
    _offer_all(db, key_id)


def differing(db: sqlite3.Connection, limits: Mapping[str, int | None]) -> list[str]:
    """The keys whose limit differs from these, by key, or does not hold for what has not ended."""
    bound: set[str] = set()
    free: set[str] = set()
    for row in db.execute(_TASKS_OF_KEYS):
        (free if row["limited_by"] is None else bound).add(row["created_by_key"])
    noted = dict(db.execute(_NOTED).fetchall())
    return [
        key_id
        for key_id, most in limits.items()
        if (key_id in bound if most is None else key_id in free or noted.get(key_id, most) != most)
    ]


def set_limit(db: sqlite3.Connection, key_id: str, max_running: int) -> None:
    """Remember what a key may run at once; a change takes effect on what waits, too."""
    if db.execute(_SET, (key_id, max_running)).rowcount:
        db.execute(_WITHDRAW, (key_id,))
        _offer_all(db, key_id)


def limit(db: sqlite3.Connection, key_id: str) -> int:
    """What the key may run at once."""
    return int(db.execute(_LIMIT, (key_id,)).fetchone()[0])


def running(db: sqlite3.Connection, key_id: str) -> list[str]:
    """The tasks of the key that nodes hold."""
    return [row[0] for row in db.execute(_RUNNING, (key_id,))]


def offer(db: sqlite3.Connection, key_id: str, line: int) -> list[int]:
    """A task of the key has come into a line: offer the first one there, when the key has room.

    Returns the lines in which one is offered, as the others do.
    """
    if _room(db, key_id) < 1:
        return []
    db.execute(_OFFER, {"key": key_id, "line": line})
    return [line]


def taken(db: sqlite3.Connection, key_id: str, line: int) -> None:
    """A task of the key was claimed: offer the next one of its line, or withdraw all when there is no more room."""
    if not offer(db, key_id, line):
        db.execute(_WITHDRAW, (key_id,))


def freed(db: sqlite3.Connection, key_id: str) -> list[int]:
    """A task of the key is held no more: when that makes room, offer the first of every line."""
    return _offer_all(db, key_id) if _room(db, key_id) == 1 else []


def _offer_all(db: sqlite3.Connection, key_id: str) -> list[int]:
    if _room(db, key_id) < 1:
        return []
    lines = [row[0] for row in db.execute(_LINES, {"key": key_id}).fetchall()]
    db.executemany(_OFFER, [{"key": key_id, "line": line} for line in lines])
    return lines


def _room(db: sqlite3.Connection, key_id: str) -> int:
    return limit(db, key_id) - int(db.execute(_COUNT, (key_id,)).fetchone()[0])
