"""What containers print, in order and once.

Each attempt has a log, and a line's id is the log's with the line's `seq` below it: one B-tree that grows at the end
of each log, and no index beside it. A later attempt's log has a higher id, so within a task ids grow with
(attempt, seq). The view `task_output` shows lines with their task.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

SEQ_BITS = 28
MOST_SEQ = (1 << SEQ_BITS) - 1
"""The last line of an attempt that can be stored."""

PAGE_BYTES = 2 << 20
"""A page ends early when its texts are this long together; an empty page is the end."""

_OPEN = """
INSERT INTO output_logs (task_id, attempt, last_seq, size, dropped) VALUES (?, ?, 0, 0, 0)
ON CONFLICT (task_id, attempt) DO NOTHING
"""
_LOG = "SELECT id, last_seq, dropped FROM output_logs WHERE task_id = ? AND attempt = ?"
_SIZE = "SELECT coalesce(sum(size), 0) FROM output_logs WHERE task_id = ?"
_GROW = "UPDATE output_logs SET last_seq = ?, size = size + ?, dropped = dropped + ? WHERE id = ?"
_ADD = "INSERT INTO output_lines (id, stream, at, text) VALUES (?, ?, ?, ?)"
_LOGS_AFTER = "SELECT id, attempt FROM output_logs WHERE task_id = ? AND id >= ? ORDER BY attempt"
_LINES = """
SELECT id, stream, at, text FROM output_lines WHERE id > ? AND id <= ? ORDER BY id LIMIT ?
"""


class Log(NamedTuple):
    """One attempt's output so far: everything up to `last_seq` is stored or was dropped, `dropped` bytes of it."""

    id: int
    last_seq: int
    dropped: int


class Line(NamedTuple):
    """One chunk of output; `size` is the bytes of its text in UTF-8."""

    seq: int
    stream: str
    at: str
    text: str
    size: int


def log(db: sqlite3.Connection, task_id: str, attempt: int) -> Log:
    """The attempt's log; it is made when missing."""
    row = db.execute(_LOG, (task_id, attempt)).fetchone()
    if row is None:
        db.execute(_OPEN, (task_id, attempt))
        row = db.execute(_LOG, (task_id, attempt)).fetchone()
    return Log(*row)


def size(db: sqlite3.Connection, task_id: str) -> int:
    """Bytes of output that are stored of the task, all attempts together."""
    return int(db.execute(_SIZE, (task_id,)).fetchone()[0])


def add(db: sqlite3.Connection, log: Log, lines: Sequence[Line], *, last_seq: int, dropped: int = 0) -> None:
    """Store lines, and that all up to `last_seq` has come, `dropped` bytes of which are not among the lines."""
    start = log.id << SEQ_BITS
    db.executemany(_ADD, [(start + line.seq, line.stream, line.at, line.text) for line in lines])
    db.execute(_GROW, (last_seq, sum(line.size for line in lines), dropped, log.id))


def page(db: sqlite3.Connection, task_id: str, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Output with an id above `after`, oldest first, in the shape of OutputLine; shorter when texts are long."""
    found: list[dict[str, Any]] = []
    size = 0
    for log_id, attempt in db.execute(_LOGS_AFTER, (task_id, after >> SEQ_BITS)).fetchall():
        start = log_id << SEQ_BITS
        for row in db.execute(_LINES, (max(after, start), start + MOST_SEQ, limit - len(found))):
            found.append(dict(row) | {"attempt": attempt, "seq": row["id"] & MOST_SEQ})
            size += len(row["text"])
            if size >= PAGE_BYTES:
                return found
        if len(found) >= limit:
            break
    return found
