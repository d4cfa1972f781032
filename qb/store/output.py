"""What containers print, in order and once."""

import sqlite3
from collections.abc import Sequence
from typing import Any

_LAST = "SELECT coalesce(max(seq), 0) FROM task_output WHERE task_id = ? AND attempt = ?"
_ADD = "INSERT INTO task_output (task_id, attempt, seq, stream, at, text) VALUES (?, ?, ?, ?, ?, ?)"
# Within a task ids grow with (attempt, seq), since output is taken in order: the one index serves pages too.
_PAGE = """
SELECT id, attempt, seq, stream, at, text FROM task_output INDEXED BY task_output_once
WHERE task_id = :task_id AND (attempt, seq) > (:attempt, :seq) ORDER BY attempt, seq LIMIT :limit
"""
_AFTER = "SELECT attempt, seq FROM task_output WHERE id = ? AND task_id = ?"
_BEFORE = """
SELECT attempt, seq FROM task_output INDEXED BY task_output_once
WHERE task_id = ? AND id < ? ORDER BY attempt DESC, seq DESC LIMIT 1
"""
PAGE_CHARS = 8 << 20
"""A page ends early when its texts are this long together; an empty page is the end."""


def last_seq(db: sqlite3.Connection, task_id: str, attempt: int) -> int:
    """Everything up to this `seq` is stored."""
    return int(db.execute(_LAST, (task_id, attempt)).fetchone()[0])


def add(db: sqlite3.Connection, task_id: str, attempt: int, chunks: Sequence[tuple[int, str, str, str]]) -> None:
    """Store chunks of (seq, stream, at, text)."""
    db.executemany(_ADD, [(task_id, attempt, *chunk) for chunk in chunks])


def page(db: sqlite3.Connection, task_id: str, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Output with an id above `after`, oldest first, in the shape of OutputLine; shorter when texts are long."""
    attempt, seq = _position(db, task_id, after)
    found: list[dict[str, Any]] = []
    chars = 0
    for row in db.execute(_PAGE, {"task_id": task_id, "attempt": attempt, "seq": seq, "limit": limit}):
        found.append(dict(row))
        chars += len(row["text"])
        if chars >= PAGE_CHARS:
            break
    return found


def _position(db: sqlite3.Connection, task_id: str, after: int) -> tuple[int, int]:
    """Where the id `after` stands in the task, whether or not it is one of the task's own."""
    if not after:
        return 0, 0
    row = db.execute(_AFTER, (after, task_id)).fetchone() or db.execute(_BEFORE, (task_id, after)).fetchone()
    return (row["attempt"], row["seq"]) if row is not None else (0, 0)
