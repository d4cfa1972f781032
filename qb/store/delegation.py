"""Which task asked for which: the ones above a task, and how many there are below one."""

import sqlite3

from qb.domain.delegation import Ancestor

_LINE = """
WITH RECURSIVE line (id, distance) AS (
    SELECT ?, 0
    UNION ALL
    SELECT t.parent_task_id, l.distance + 1 FROM line l JOIN tasks t ON t.id = l.id
    WHERE t.parent_task_id IS NOT NULL AND l.distance < 100
)
SELECT s.task_id, s.prompt FROM line l JOIN task_specs s ON s.task_id = l.id ORDER BY l.distance
"""
_BELOW = "SELECT count(*) FROM tasks WHERE root_task_id = ?"


def line(db: sqlite3.Connection, task_id: str) -> list[Ancestor]:
    """The task and those above it, from near to far."""
    return [Ancestor(row[0], row[1]) for row in db.execute(_LINE, (task_id,))]


def below(db: sqlite3.Connection, root_task_id: str) -> int:
    """How many tasks were asked for by this one and those below it."""
    return int(db.execute(_BELOW, (root_task_id,)).fetchone()[0])
