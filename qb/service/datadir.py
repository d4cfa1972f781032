"""A data directory as a whole: its parts, and how a new one comes into being, all or nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qb.service.scratch import INIT, scratch, sweep

# qb.db goes in last: where it is, the directory is complete.
PARTS = ("blobs", "dashboard", "secret", "keys.db", "qb.db")
OPTIONAL = ("dashboard",)
"""Made by `qb dashboard` when it is first needed, and brought along by a backup that holds its accounts."""


@contextmanager
def new(data_dir: Path) -> Iterator[Path]:
    """A place to make the parts in; they move to `data_dir` when the block ends well, else nothing is left behind.

    `data_dir` may exist. Raises OSError when it cannot be written.
    """
    created = not data_dir.exists()
    data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    sweep(data_dir)
    moved: list[Path] = []
    try:
        with scratch(data_dir, INIT) as staging:
            yield staging
            parts = [part for part in PARTS if part not in OPTIONAL or (staging / part).exists()]
            for part in parts:
                sync(staging / part)
            _move(parts, staging, data_dir, moved)
        sync(data_dir)
    except BaseException:
        _undo(data_dir, moved, created)
        raise
    sync(data_dir.parent)


def sync(path: Path) -> None:
    """Have a file or a directory on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move(parts: list[str], staging: Path, data_dir: Path, moved: list[Path]) -> None:
    for part in parts:
        target = data_dir / part
        if part == "blobs" and target.is_dir() and not any((staging / part).iterdir()):
            continue  # an empty or kept place for blobs serves as well
        (staging / part).rename(target)
        moved.append(target)


def _undo(data_dir: Path, moved: list[Path], created: bool) -> None:
    for target in moved:
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)
    if created:
        with suppress(OSError):
            data_dir.rmdir()
