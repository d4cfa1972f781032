"""What may come a few seconds late: which keys were used, what was refused, and the env of tasks that have ended."""

import asyncio
import sqlite3

import structlog

from qb.domain.errors import QuarterbackError
from qb.domain.times import iso
from qb.service import task_env
from qb.service.audit import Audit
from qb.service.core import Core
from qb.store import keys, registration_tokens

ROUND_SECONDS = 3.0
log = structlog.get_logger(__name__)


class Housekeeping:
    """Runs as one task on the event loop."""

    def __init__(self, core: Core, audit: Audit) -> None:
        self._core = core
        self._audit = audit

    async def run(self) -> None:
        """Make a round every few seconds, and a last one when the server stops."""
        while not self._core.stopping.is_set():
            await self._round()
            try:
                await asyncio.wait_for(self._core.stopping.wait(), ROUND_SECONDS)
            except TimeoutError:
                continue
        await self._round()

    async def _round(self) -> None:
        try:
            await self._audit.write()
            await self._note_used()
            await task_env.forget_ended(self._core)
        except (QuarterbackError, sqlite3.Error) as error:
            log.error("housekeeping failed, and is tried again", error=str(error))

    async def _note_used(self) -> None:
        used = self._core.credentials.take_used()
        if not used:
            return
        now = iso(self._core.clock())

        def work(db: sqlite3.Connection) -> None:
            keys.used(db, used, now=now)
            registration_tokens.used(db, used, now=now)

        try:
            await self._core.keys.run(work)
        except BaseException:
            self._core.credentials.put_back(used)
            raise
