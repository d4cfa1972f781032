"""Removes the contents of files that nothing refers to any more."""

import asyncio
import sqlite3
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import structlog

from qb.domain.errors import QuarterbackError
from qb.domain.times import iso
from qb.service.blobs import Blobs
from qb.service.core import Core
from qb.store import files as store

EVERY = 600.0
"""Seconds between two collections."""

BATCH = 500
log = structlog.get_logger(__name__)


class Collected(NamedTuple):
    """What went: uploads that no task used in time, and blobs with their bytes."""

    uploads: int
    blobs: int
    size: int


class Collection:
    """Runs as one task on the event loop; `collect` may be called at any time beside it."""

    def __init__(self, core: Core, blobs: Blobs) -> None:
        self._core = core
        self._blobs = blobs
        self._one_at_a_time = asyncio.Lock()
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Collect now and then until the server stops; what fails is logged and tried again."""
        while not self._core.stopping.is_set():
            await self._pause()
            if not self._core.stopping.is_set():
                await self._try()

    def soon(self) -> None:
        """Have `run` collect at once, or once more when it does already."""
        self._asked.set()

    async def _pause(self) -> None:
        waits = [asyncio.ensure_future(each.wait()) for each in (self._core.stopping, self._asked)]
        try:
            await asyncio.wait(waits, timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        self._asked.clear()

    async def _try(self) -> None:
        try:
            gone = await self.collect()
        except (QuarterbackError, sqlite3.Error, OSError) as error:
            log.error("collecting files failed", error=str(error))
        else:
            if any(gone):
                log.info("files collected", **gone._asdict())

    async def collect(self) -> Collected:
        """Forget uploads that were not used in time, then remove every blob that nothing refers to.

        Safe beside uploads, even of the very bytes that are about to go. Call it after deleting tasks or artifacts.
        """
        async with self._one_at_a_time:
            forgotten = await self._forget(self._core.clock())
            count = size = 0
            names = await self._blobs.names()
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                useless = await self._core.readers.run(partial(store.unreferenced, checksums=batch))
                removed, freed = await self._blobs.remove(useless)
                count, size = count + removed, size + freed
        return Collected(forgotten, count, size)

    async def _forget(self, now: datetime) -> int:
        before = iso(now - timedelta(seconds=self._core.settings.quotas.unused))
        total = 0
        while gone := await self._core.writer.run(lambda db: store.expire_uploads(db, before=before, limit=BATCH)):
            total += gone
        return total
