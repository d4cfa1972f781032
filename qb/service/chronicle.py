"""Tells the log of tasks that ended or went back in line, behind the work: what is told is committed, and told once."""

import asyncio
import sqlite3
from functools import partial

import structlog

from qb.service.core import Core
from qb.store import events, figures

TICK = 1.0
EVENTS_AT_ONCE = 50_000
log = structlog.get_logger(__name__)


class Chronicle:
    """Runs as one task on the event loop; it begins with what happens after the start."""

    def __init__(self, core: Core, last_event: int) -> None:
        self._core = core
        self._last = last_event

    @classmethod
    async def open(cls, core: Core) -> "Chronicle":
        """Begin now."""
        return cls(core, await core.readers.run(figures.last_event))

    async def run(self) -> None:
        """Look every second until the server stops."""
        while not self._core.stopping.is_set():
            try:
                await asyncio.wait_for(self._core.stopping.wait(), TICK)
            except TimeoutError:
                try:
                    await self._tell()
                except sqlite3.Error as error:
                    log.error("events cannot be read, and are tried again", error=str(error))

    async def _tell(self) -> None:
        newest = await self._core.readers.run(figures.last_event)
        while self._last < newest:
            upto = min(newest, self._last + EVENTS_AT_ONCE)
            for row in await self._core.readers.run(partial(events.turns, after=self._last, upto=upto)):
                log.info("task", **{name: value for name, value in dict(row).items() if value is not None})
            self._last = upto
