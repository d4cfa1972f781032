"""What containers print, in order and once."""

import sqlite3
from collections.abc import Sequence
from typing import Any

_LAST = "SELECT coalesce(max(seq), 0) FROM task_output WHERE task_id = ? AND attempt = ?"
_ADD = "INSERT INTO task_output (task_id, attempt, seq, stream, at, text) VALUES (?, ?, ?, ?, ?, ?)"
_PAGE = "SELECT id, attempt, seq, stream, at, text FROM task_output WHERE task_id = ? AND id > ? ORDER BY id LIMIT ?"


def last_seq(db: sqlite3.Connection, task_id: str, attempt: int) -> int:
    """Everything up to this `seq` is stored."""
    return int(db.execute(_LAST, (task_id, attempt)).fetchone()[0])


def add(db: sqlite3.Connection, task_id: str, attempt: int, chunks: Sequence[tuple[int, str, str, str]]) -> None:
    """Store chunks of (seq, stream, at, text)."""
    db.executemany(_ADD, [(task_id, attempt, *chunk) for chunk in chunks])


def page(db: sqlite3.Connection, task_id: str, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Output with an id above `after`, oldest first, in the shape of OutputLine."""
    return [dict(row) for row in db.execute(_PAGE, (task_id, after, limit))]
