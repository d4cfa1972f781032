"""Keeps the write-ahead log short although readers look at older states, and never waits for one of them.

SQLite copies the log into the database by itself, but begins it anew only at a moment when no reader needs it. Beside
many readers such a moment does not come by chance: it is looked for, and the dashboard's requests give way to it
(qb/dashboard/yielding.py).
"""

import sqlite3
import time
from pathlib import Path

LONG = 16 << 20
"""Bytes from which on a moment is looked for."""
LOOK_SECONDS = 0.05
"""Between two looks."""
_BUSY_TIMEOUT_MS = 10_000


class Checkpoints:
    """Belongs to the writer's thread and to its connection, the only one that checkpoints."""

    def __init__(self, connection: sqlite3.Connection, database: Path) -> None:
        self._connection = connection
        self._log = database.with_name(f"{database.name}-wal")
        self._next = 0.0

    def look(self) -> float | None:
        """Begin the log anew if it is long and nobody reads it; returns the seconds to the next look, None for none."""
        wait = self._next - time.monotonic()
        if wait > 0:
            return wait
        self._next = time.monotonic() + LOOK_SECONDS
        if self._size() < LONG or self._truncate():
            return None
        return LOOK_SECONDS

    def _truncate(self) -> bool:
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            busy: int = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:
            return False  # the disk is full or slow to say: the next look tries again
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        return not busy

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0
