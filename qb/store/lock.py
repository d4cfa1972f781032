"""One server per data directory."""

import asyncio
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qb.domain.errors import Conflict

LOCK_WAIT = 30.0
"""Seconds a new worker waits for the old one to let go of the data directory."""

_PAUSE = 0.05


class Lock:
    """An flock on a file of the data directory; the kernel lets go of it when its process dies."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lock"
        self._handle: int | None = None

    async def take(self, *, wait: float = LOCK_WAIT) -> None:
        """Take the lock. Raises Conflict when another server still holds it after `wait` seconds."""
        deadline = time.monotonic() + wait
        while not self.try_take():
            if time.monotonic() >= deadline:
                raise self._held()
            await asyncio.sleep(_PAUSE)

    def check(self, *, wait: float) -> None:
        """Raise Conflict when another server holds the lock for the next `wait` seconds; leaves it free."""
        deadline = time.monotonic() + wait
        while not self.try_take():
            if time.monotonic() >= deadline:
                raise self._held()
            time.sleep(_PAUSE)
        self.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for as long as the block lasts. Raises Conflict at once when a server holds it."""
        if not self.try_take():
            raise self._held()
        try:
            yield
        finally:
            self.release()

    def try_take(self) -> bool:
        """Take the lock if it is free."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _held(self) -> Conflict:
        return Conflict(f"{self._path.parent} is served by another server: stop that one first")
