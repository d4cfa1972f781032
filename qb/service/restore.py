"""Restoring: a new data directory from a backup or a replica, in a new epoch."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qb.contract.states import Reporter, TaskStatus
from qb.domain.errors import Conflict, NotFound
from qb.domain.lifecycle import Event
from qb.domain.times import iso
from qb.service import archive, datadir, replication, scratch, transitions
from qb.store import epochs, tasks
from qb.store.database import connect
from qb.store.lock import Lock
from qb.store.migrations import migrate


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: its epoch, when the backup was made (None: a replica), and the tasks that are pending and
    that it cancelled; schedules are neither."""

    epoch: int
    made_at: str | None
    pending: int
    cancelled: int


def from_backup(source: Path, data_dir: Path, *, now: datetime, cancel_pending: bool = False) -> Restored:
    """Make `data_dir` from the backup `source`. Raises Conflict where a control plane lives, and what `unpack` does."""
    made_at = None

    def fill(place: Path) -> None:
        nonlocal made_at
        made_at = str(archive.unpack(source, place).get("made_at"))

    if not source.exists():
        raise NotFound(f"{source} is not there: name a backup that `qb db backup` made")
    return _restore(data_dir, fill, now, cancel_pending, lambda: made_at)


def from_replica(url: str, parts: Path, data_dir: Path, *, now: datetime, cancel_pending: bool = False) -> Restored:
    """Make `data_dir` from a replica's databases and what `parts` holds: `secret` and, where there are any, `blobs` and
    the dashboard's accounts.

    Raises Conflict where a control plane lives, NotFound without a secret, Unreachable when the replica cannot be read.
    """
    if not (parts / "secret").is_file():
        raise NotFound(
            f"{parts} holds no secret: a replica is of no use without the server's own; see docs/operations.md"
        )

    def fill(place: Path) -> None:
        for name in replication.DATABASES:
            replication.restore(url, name, place / name)
            (place / name).chmod(0o600)
        shutil.copyfile(parts / "secret", place / "secret")
        if (parts / "blobs").is_dir():
            shutil.copytree(parts / "blobs", place / "blobs")
        if (parts / archive.ACCOUNTS).is_file():
            (place / archive.ACCOUNTS).parent.mkdir(mode=0o700)
            shutil.copyfile(parts / archive.ACCOUNTS, place / archive.ACCOUNTS)
            (place / archive.ACCOUNTS).chmod(0o600)

    return _restore(data_dir, fill, now, cancel_pending, lambda: None)


def _restore(
    data_dir: Path, fill: Callable[[Path], None], now: datetime, cancel: bool, made_at: Callable[[], str | None]
) -> Restored:
    _check_empty(data_dir)
    with datadir.new(data_dir) as staging:
        fill(staging)
        (staging / "blobs").mkdir(mode=0o700, exist_ok=True)
        for part in ("secret", "keys.db"):
            (staging / part).chmod(0o600)
        migrate(staging / "qb.db")
        (staging / "qb.db").chmod(0o640)
        with closing(connect(staging / "qb.db")) as db:
            restored = _begin_epoch(db, iso(now), cancel, made_at())
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return restored


def _begin_epoch(db: sqlite3.Connection, now: str, cancel: bool, made_at: str | None) -> Restored:
    db.execute("BEGIN IMMEDIATE")
    epoch = epochs.begin(db, now=now)
    pending = epochs.pending(db)
    for task_id in pending if cancel else ():
        _cancel(db, task_id, now)
    left = len(epochs.pending(db))
    db.execute("COMMIT")
    return Restored(epoch, made_at, left, len(pending) - left)


def _cancel(db: sqlite3.Connection, task_id: str, now: str) -> None:
    row = tasks.get(db, task_id)
    if row is None or row["status"] != TaskStatus.PENDING:
        return  # it went with one that it waited for
    tasks.request_cancel(db, task_id, now=now)
    text = "cancelled at the restore: it may have run since the backup"
    transitions.apply(db, row, Event.CANCEL_REQUESTED, now=now, source=Reporter.OPERATOR, message=text)


def _check_empty(data_dir: Path) -> None:
    if not data_dir.exists():
        return
    lock = Lock(data_dir)
    if not lock.try_take():
        raise Conflict(f"{data_dir} is being served: stop the server, and restore to a new directory")
    lock.release()
    scratch.sweep(data_dir)
    with suppress(FileNotFoundError):
        if not any(path.name != "lock" for path in data_dir.iterdir()):
            (data_dir / "lock").unlink()
            return
    raise Conflict(f"{data_dir} is not empty: restore to a new directory")
