"""Folders of the data directory for what is being made, copies of secrets among it: none outlives its maker for long.

Its maker holds a lock on each. One whose lock is free was left by a process that was killed, and is swept.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

BACKUP, INIT = ".backup-", ".init-"
PREFIXES = (BACKUP, INIT)


@contextmanager
def scratch(data_dir: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `data_dir` that nobody else may enter; it is gone after the block. Raises OSError."""
    path, lock = _made(data_dir, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep(data_dir: Path) -> None:
    """Remove what killed processes left. What is in use stays, and so does what cannot be removed."""
    for prefix in PREFIXES:
        for left in data_dir.glob(f"{prefix}*"):
            with suppress(OSError):
                _remove_unless_used(left)


def _made(data_dir: Path, prefix: str) -> tuple[Path, int]:
    while True:
        path = Path(mkdtemp(prefix=prefix, dir=data_dir))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)  # it was swept before it could be locked


def _remove_unless_used(left: Path) -> None:
    lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left)
    finally:
        os.close(lock)
