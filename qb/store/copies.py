"""Whole copies of a database, and looks into it as a whole."""

import sqlite3
from contextlib import closing
from pathlib import Path

from qb.store.database import connect

_BLOBS = """
SELECT checksum FROM uploads UNION SELECT checksum FROM task_files UNION SELECT checksum FROM artifacts ORDER BY 1
"""
_INVARIANTS: dict[str, str] = {
    "a task that a node holds has no attempt written down": """
        SELECT id FROM tasks t WHERE lease_expires_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM attempts a WHERE a.task_id = t.id AND a.attempt = t.attempt AND a.node_id = t.assigned_node_id
        )""",
    "a task that a node holds is held by a node that is not there": """
        SELECT id FROM tasks WHERE lease_expires_at IS NOT NULL
            AND assigned_node_id NOT IN (SELECT id FROM nodes)""",
    "an attempt is newer than its task knows": """
        SELECT task_id FROM attempts a JOIN tasks t ON t.id = a.task_id WHERE a.attempt > t.attempt""",
    "a task ended without success and without a reason": """
        SELECT id FROM tasks WHERE status IN ('error', 'cancelled') AND reason IS NULL""",
    "a task that has ended waits for a time": """
        SELECT id FROM tasks WHERE completed_at IS NOT NULL AND available_at IS NOT NULL""",
    "a task may be claimed and waits for a time": """
        SELECT id FROM tasks WHERE claimable = 1 AND available_at IS NOT NULL""",
    "a task has no prompt": """
        SELECT id FROM tasks WHERE id NOT IN (SELECT task_id FROM task_specs)""",
    "a node is linked to a line that is not there": """
        SELECT node_id FROM placement_nodes WHERE placement_id NOT IN (SELECT id FROM placements)""",
}
_SHOWN = 5


def copy(source: Path, target: Path) -> None:
    """Copy the database as it is at one moment, whatever is written to it meanwhile. `target` must not exist."""
    target.touch(mode=0o600)
    with closing(connect(source, read_only=True)) as origin, closing(sqlite3.connect(target)) as made:
        origin.backup(made)
        made.execute("PRAGMA journal_mode = DELETE")


def blobs(db: sqlite3.Connection) -> list[str]:
    """The SHA-256 of every blob that a row refers to."""
    return [row[0] for row in db.execute(_BLOBS)]


def damage(db: sqlite3.Connection) -> list[str]:
    """What SQLite itself finds wrong, in words."""
    found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
    broken = db.execute("PRAGMA foreign_key_check").fetchmany(20)
    rows = [f"{row[0]} row {row[1]} refers to a row of {row[2]} that is not there" for row in broken]
    return ([] if found == ["ok"] else found) + rows


def glance(db: sqlite3.Connection) -> tuple[str, int]:
    """What SQLite finds at a quick look, "ok" where nothing, and how many tasks there are."""
    return str(db.execute("PRAGMA quick_check(1)").fetchone()[0]), tasks(db)


def tasks(db: sqlite3.Connection) -> int:
    """How many tasks there are."""
    return int(db.execute("SELECT count(*) FROM tasks").fetchone()[0])


def contradictions(db: sqlite3.Connection) -> list[str]:
    """What the rows say that cannot be, in words with a few of the ids."""
    found = []
    for words, query in _INVARIANTS.items():
        ids = [str(row[0]) for row in db.execute(query)]
        if ids:
            more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
            found.append(f"{words}: {', '.join(ids[:_SHOWN])}{more}")
    return found
