"""What a task writes down in order: its history and its output, read in pages or followed as it grows."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qb.contract.states import TaskStatus
from qb.store import events, output, tasks


@dataclass(frozen=True, slots=True)
class Journal:
    """Entries of a task by ascending `id`. `page` takes ``(db, task_id, after=ID, limit=ROWS)``."""

    page: Callable[..., list[dict[str, Any]]]
    rows: int
    """Entries of a stream's page."""


HISTORY = Journal(events.page, rows=1000)
OUTPUT = Journal(output.page, rows=1000)


def ended(db: sqlite3.Connection, task_id: str) -> bool:
    """Whether nothing more will happen to the task."""
    row = tasks.get(db, task_id)
    return row is None or TaskStatus(row["status"]).terminal
