"""The SQLite file of the journal, and a little room that is kept beside it for when the disk is full."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts(
  task_id TEXT NOT NULL, attempt INTEGER NOT NULL, phase TEXT NOT NULL, assignment TEXT NOT NULL,
  boot_id TEXT NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, position TEXT NOT NULL DEFAULT '',
  output_seq INTEGER NOT NULL DEFAULT 0, changed_at REAL NOT NULL, PRIMARY KEY(task_id, attempt));
CREATE TABLE IF NOT EXISTS outbox(
  id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, attempt INTEGER NOT NULL,
  kind TEXT NOT NULL, body TEXT NOT NULL, size INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS outbox_of_attempt ON outbox(task_id, attempt, id);
"""
RESERVE_BYTES = 1 << 20
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
"""What SQLite says of a full disk, of a quota that is used up, and where it cannot lengthen its index of the log."""


class NoRoom(Exception):
    """The disk that holds the journal is full: nothing was changed. The message names the file."""


class Reserve:
    """A file that holds `RESERVE_BYTES` of the disk, to be given up for what must be written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> None:
        """Take the room, where there is some."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, RESERVE_BYTES)
            finally:
                os.close(fd)
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """Give the room back."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def open_file(path: Path, reserve: Reserve) -> sqlite3.Connection:
    """The journal at `path`, made or brought up to date. Raises sqlite3.Error and OSError."""
    path.touch(mode=0o600, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        with naming_a_full_disk(path):
            _prepare(db)
    except NoRoom:
        reserve.give_up()
        _prepare(db)
    return db


@contextlib.contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a full disk into NoRoom."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in _FULL:
            raise NoRoom(f"{path} cannot be written: {error}") from error
        raise


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA cache_size=-512")
    db.executescript(SCHEMA)
    # what journals of earlier releases lack
    columns = {row[1] for row in db.execute("PRAGMA table_info(attempts)")}
    if "swept" not in columns:
        db.execute("ALTER TABLE attempts ADD COLUMN swept INTEGER NOT NULL DEFAULT 0")
    if "exit_code" not in columns:
        db.execute("ALTER TABLE attempts ADD COLUMN exit_code INTEGER")
