"""Lets go of what is older than its kind is kept, on a schedule and when the operator asks."""

import asyncio
import sqlite3
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial

import structlog

from qb.contract.acts import Action
from qb.domain.errors import QuarterbackError
from qb.domain.retention import Retention as Ages
from qb.domain.times import iso
from qb.service import audit
from qb.service.audit import Actor
from qb.service.collection import Collection
from qb.service.core import Core
from qb.store import placements
from qb.store import retention as store
from qb.store.hours import KEPT

FIRST = 60.0
EVERY = 3600.0
"""Seconds from the start to the first sweep, and between two."""

ROWS = 200
"""Rows that one work deletes: a claim that comes meanwhile waits for no more."""

PAUSE = 0.01
TASKS_AT_ONCE = 50
REQUEST_SECONDS = 20.0
"""What a request to clean up may take; it says when there is more."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Tasks that are gone, and whether there are more to go."""

    tasks: int
    more: bool


class Retention:
    """Runs as one task on the event loop."""

    def __init__(self, core: Core, collection: Collection) -> None:
        self._core = core
        self._collection = collection
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Sweep now and then until the server stops; what fails is logged and tried again."""
        pause = FIRST
        while not self._core.stopping.is_set():
            try:
                await asyncio.wait_for(self._core.stopping.wait(), pause)
            except TimeoutError:
                pause = EVERY
                try:
                    gone = await self.sweep()
                except (QuarterbackError, sqlite3.Error, OSError) as error:
                    log.error("retention failed, and is tried again", error=str(error))
                else:
                    log.info("swept", **gone)

    async def sweep(self) -> dict[str, int]:
        """Let go of all that is old; returns how much by kind: rows, and tasks of `tasks`.

        Sums by the hour go by this server's clock alone: a wrong time in a row of theirs takes no other with it.
        """
        gone = {}
        async with self._one_at_a_time:
            for kind in (field.name for field in fields(Ages)):
                days: int | None = getattr(self._core.settings.operations.retention, kind)
                if days is not None and not self._core.stopping.is_set():
                    gone[kind] = await self._sweep(kind, self._before(days))
            hours = sum([await self._expire(table, self._before(KEPT)) for table in store.HOURLY])
            if hours:
                gone["hours"] = hours
            if lines := await self._until_none(partial(placements.forget, limit=ROWS)):
                gone["lines"] = lines
        if gone.get("artifacts") or gone.get("tasks"):
            await self._collection.collect()
        return gone

    async def clean_up(self, actor: Actor, days: float) -> Cleaned:
        """Remove tasks that ended `days` ago or earlier, with all that belongs to them, as the operator asks."""
        gone, more = await self._remove_until(self._before(days), asyncio.get_running_loop().time() + REQUEST_SECONDS)
        now = self._core.clock()
        detail = {"days": days, "tasks": gone}
        await self._core.writer.run(
            lambda db: audit.note(db, actor, Action.TASKS_REMOVED, None, now=now, detail=detail)
        )
        self._collection.soon()  # there may be many files to look through
        return Cleaned(gone, more)

    async def _remove_until(self, upto: str, until: float) -> tuple[int, bool]:
        """How many tasks went, and whether there are more; none may have gone when a sweep took all the time."""
        try:
            async with asyncio.timeout_at(until):
                await self._one_at_a_time.acquire()
        except TimeoutError:
            return 0, True
        try:
            return await self._remove(upto, until)
        finally:
            self._one_at_a_time.release()

    def _before(self, days: float) -> str:
        return iso(self._core.clock() - timedelta(days=days))

    async def _sweep(self, kind: str, upto: str) -> int:
        if kind == "tasks":
            return (await self._remove(upto, None))[0]
        if kind in ("audit", "webhooks"):
            return await self._expire(kind, upto)
        return await self._thin(kind, upto)

    async def _expire(self, kind: str, upto: str) -> int:
        return await self._until_none(partial(store.expire, kind=kind, upto=upto, limit=ROWS))

    async def _thin(self, kind: str, upto: str) -> int:
        total = 0
        after = await self._core.readers.run(lambda db: store.mark(db, kind))
        while batch := await self._core.readers.run(partial(store.ended, after=after, upto=upto, limit=ROWS)):
            for task_id, _ in batch:
                total += await self._until_none(partial(store.thin, kind=kind, task_id=task_id, limit=ROWS))
            after = batch[-1][1]
            await self._core.writer.run(partial(store.set_mark, kind=kind, through=after))
            if self._core.stopping.is_set():
                break
        return total

    async def _until_none(self, work: "partial[int]") -> int:
        total = 0
        while not self._core.stopping.is_set():
            gone = await self._core.writer.run(work, rows=ROWS)
            total += gone
            if gone < ROWS:
                break
            await asyncio.sleep(PAUSE)
        return total

    async def _remove(self, upto: str, until: float | None) -> tuple[int, bool]:
        total, loop = 0, asyncio.get_running_loop()
        while ids := await self._core.readers.run(partial(store.removable, upto=upto, limit=TASKS_AT_ONCE)):
            if self._core.stopping.is_set() or (until is not None and loop.time() >= until):
                return total, True
            total += await self._core.writer.run(partial(store.remove, task_ids=ids, limit=ROWS), rows=ROWS)
            await asyncio.sleep(PAUSE)
        return total, False
