"""Which tasks wait for which: a task is claimable only when all it waits for has ended."""

import sqlite3
from collections.abc import Iterable

_ADD = "INSERT INTO task_dependencies (depends_on, task_id) VALUES (?, ?)"
_AWAIT = "UPDATE tasks SET awaited = 1 WHERE id = ?"
_DEPENDANTS = """
SELECT t.*, s.on_failure FROM task_dependencies d CROSS JOIN tasks t ON t.id = d.task_id
JOIN task_specs s ON s.task_id = t.id
WHERE d.depends_on = ? AND t.status = 'pending' AND t.waits_for > 0 ORDER BY t.seq
"""
_ONE_LESS = "UPDATE tasks SET waits_for = waits_for - 1 WHERE id = ? AND waits_for > 0"
_UNFINISHED = """
SELECT t.id, t.title, t.status FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on
WHERE d.task_id = ? AND t.completed_at IS NULL ORDER BY t.seq
"""


def add(db: sqlite3.Connection, task_id: str, depends_on: Iterable[str]) -> None:
    """Let a task wait for others that have not ended."""
    for other in depends_on:
        db.execute(_ADD, (other, task_id))
        db.execute(_AWAIT, (other,))


def dependants(db: sqlite3.Connection, task_id: str) -> list[sqlite3.Row]:
    """The tasks that still wait for this one and maybe for others, with their `on_failure`."""
    return db.execute(_DEPENDANTS, (task_id,)).fetchall()


def one_less(db: sqlite3.Connection, task_id: str) -> None:
    """One of the tasks that this one waits for has ended, not the last."""
    db.execute(_ONE_LESS, (task_id,))


def unfinished(db: sqlite3.Connection, task_id: str) -> list[sqlite3.Row]:
    """What the task waits for: `id`, `title` and `status` of each."""
    return db.execute(_UNFINISHED, (task_id,)).fetchall()
