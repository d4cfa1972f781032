"""Opens what the server works with when it starts, and closes it when it stops."""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

import structlog

from qb.domain.errors import Conflict
from qb.domain.times import Clock
from qb.service.core import Core, Settings
from qb.service.credentials import Credentials
from qb.service.hub import Hub
from qb.store.database import Readers, Writer
from qb.store.migrations import migrate

log = structlog.get_logger("qb.api")
STOP_WAIT = 2.0
"""Seconds that background work has to end by itself before it is cancelled."""

LOCK_WAIT = 30.0
"""Seconds a new worker waits for the old one to let go of the data directory."""


Background = Callable[[], Coroutine[Any, Any, None]]
"""Work of its own on the event loop, such as the scheduler; it ends soon after `core.stopping` is set."""


class Lock:
    """One server per data directory: an flock that the kernel lets go of when the process dies."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.data_dir / "lock"
        self._handle: int | None = None

    async def take(self, *, wait: float = LOCK_WAIT) -> None:
        """Take the lock. Raises Conflict when another server still holds it after `wait` seconds."""
        deadline = asyncio.get_running_loop().time() + wait
        while not self.try_take():
            if asyncio.get_running_loop().time() >= deadline:
                raise Conflict(f"{self._path.parent} is served by another server: stop it first")
            await asyncio.sleep(0.05)

    def try_take(self) -> bool:
        """Take the lock if it is free."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle
        return True

    def release(self) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


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
            lock = Lock(self._settings)
            await lock.take()
            owned.callback(lock.release)
            self.core = await self._open(owned)
            for background in await self._on_ready(self.core):
                task = asyncio.create_task(background(), name=background.__qualname__)
                task.add_done_callback(_report)
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
        writer = Writer(self._settings.database)
        owned.callback(writer.close)
        readers = Readers(self._settings.database)
        owned.callback(readers.close)
        return Core(
            settings=self._settings,
            clock=self._clock,
            writer=writer,
            readers=readers,
            credentials=Credentials.load(self._settings.data_dir, self._clock),
            hub=Hub(),
            stopping=asyncio.Event(),
        )


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("background work died: restart the server", task=task.get_name(), exc_info=error)


async def _finish(task: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait([task], timeout=STOP_WAIT)
    task.cancel()
    await asyncio.wait([task])
    if not done:
        log.warning("background work was cancelled", task=task.get_name())
