"""Opens what the server works with when it starts, and closes it when it stops."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog

from qb.domain.times import Clock
from qb.service.core import Core, Settings
from qb.service.credentials import Credentials
from qb.service.hub import Hub
from qb.service.replication import Replicator
from qb.service.scratch import sweep
from qb.store.database import Readers, Writer
from qb.store.lock import Lock
from qb.store.migrations import migrate

log = structlog.get_logger("qb.api")
STOP_WAIT = 2.0
"""Seconds that background work has to end by itself before it is cancelled."""

Background = Callable[[], Coroutine[Any, Any, None]]
"""Work of its own on the event loop, such as the scheduler; it ends soon after `core.stopping` is set."""


class Lifespan:
    """falcon's startup and shutdown hooks: the owner of Core and of all that runs beside requests.

    `on_ready` gets the Core once it stands, adds the routes and returns what is to be started.
    """

    def __init__(
        self, settings: Settings, clock: Clock, on_ready: Callable[[Core], Awaitable[list[Background]]]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._on_ready = on_ready
        self._owned = AsyncExitStack()
        self.core: Core | None = None

    def begin_stop(self) -> None:
        """End long polls and streams: the server is about to stop. Safe to call at any time."""
        if self.core is not None:
            self.core.stopping.set()

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Take the lock, bring the schema up to date, open everything, start the background work."""
        async with AsyncExitStack() as owned:
            lock = Lock(self._settings.data_dir)
            await lock.take()
            owned.callback(lock.release)
            await asyncio.to_thread(sweep, self._settings.data_dir)
            self.core = await self._open(owned)
            for background in await self._on_ready(self.core):
                task = asyncio.create_task(background(), name=background.__qualname__)
                task.add_done_callback(partial(_report, self.core))
                owned.push_async_callback(_finish, task)
            self._owned = owned.pop_all()
        log.info("serving", data_dir=str(self._settings.data_dir), url=self._settings.url)

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Stop the background work, finish what is being written, let go of the data directory."""
        self.begin_stop()
        await self._owned.aclose()
        log.info("stopped", data_dir=str(self._settings.data_dir))

    async def _open(self, owned: AsyncExitStack) -> Core:
        applied = migrate(self._settings.database)
        if applied:
            log.info("schema brought up to date", migrations=applied)
        credentials = Credentials.load(self._settings.data_dir, self._clock)
        replicate = self._settings.operations.replicate
        if replicate is not None:
            replicator = Replicator(self._settings.data_dir, replicate)
            await replicator.start()
            owned.push_async_callback(replicator.stop)  # after the writer's last commit
        writer = Writer(self._settings.database, checkpoints=replicate is None)
        owned.callback(writer.close)
        keys = Writer(self._settings.keys, secure_delete=True, checkpoints=replicate is None)
        owned.callback(keys.close)
        readers = Readers(self._settings.database)
        owned.callback(readers.close)
        return Core(
            settings=self._settings,
            clock=self._clock,
            writer=writer,
            readers=readers,
            credentials=credentials,
            hub=Hub(),
            stopping=asyncio.Event(),
            keys=keys,
        )


def _report(core: Core, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        core.died[task.get_name()] = type(error).__name__
        log.critical("background work died: restart the server", task=task.get_name(), exc_info=error)


async def _finish(task: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait([task], timeout=STOP_WAIT)
    task.cancel()
    await asyncio.wait([task])
    if not done:
        log.warning("background work was cancelled", task=task.get_name())
