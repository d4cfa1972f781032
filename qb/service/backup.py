"""Backups: databases, the server's secret, the dashboard's accounts and the blobs together, while the server serves."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qb import __version__
from qb.domain.errors import ChecksumMismatch, NotFound
from qb.domain.times import iso
from qb.service import archive
from qb.service.scratch import BACKUP, scratch, sweep
from qb.store import copies, epochs
from qb.store.database import connect

TRIES = 3
"""A blob may be collected between the copy of the database and its own; then all is taken anew."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made: where, how many blobs it holds, and bytes in all."""

    place: Path
    blobs: int
    size: int


def backup(data_dir: Path, target: Path, *, now: datetime) -> Made:
    """Write a backup of `data_dir` to `target`: a directory, or a .tar by its name. The server may run meanwhile.

    The database is copied as it is at one moment, the blobs that it refers to after it: blobs never change, so that the
    two fit. Raises NotFound without a control plane or with a blob missing, ChecksumMismatch for a damaged blob,
    Conflict when `target` exists.
    """
    for part in ("qb.db", "keys.db", "secret"):
        if not (data_dir / part).is_file():
            raise NotFound(f"{data_dir} holds no control plane ({part} is missing): name its data directory")
    sweep(data_dir)
    for tries_left in reversed(range(TRIES)):
        try:
            return _backup(data_dir, target, now)
        except FileNotFoundError as error:
            if not tries_left:
                raise NotFound(f"{error.filename} is missing: `qb db check` tells what else is") from error
    raise AssertionError("unreachable")


def _backup(data_dir: Path, target: Path, now: datetime) -> Made:
    with archive.writing(target) as writing, scratch(data_dir, BACKUP) as place:
        copied = place / "qb.db"
        copies.copy(data_dir / "qb.db", copied)
        copies.copy(data_dir / "keys.db", place / "keys.db")
        with closing(connect(copied, read_only=True)) as db:
            blobs, epoch = copies.blobs(db), epochs.current(db)
        writing.add("qb.db", copied)
        writing.add("keys.db", place / "keys.db")
        writing.add("secret", data_dir / "secret")
        if (data_dir / archive.ACCOUNTS).is_file():
            writing.add(archive.ACCOUNTS, data_dir / archive.ACCOUNTS)
        for checksum in blobs:
            name = f"blobs/{checksum[:2]}/{checksum}"
            if writing.add(name, data_dir / name) != checksum:
                raise ChecksumMismatch(f"{data_dir / name} is damaged: `qb db check` tells what else is")
        writing.finish(made_at=iso(now), version=__version__, epoch=epoch)
        return Made(target, len(blobs), sum(int(str(entry["size"])) for entry in writing.files.values()))
