"""The push dispatcher: one courier for each push node, on the server's event loop."""

import asyncio
import sqlite3
from functools import partial

import structlog

from qb.domain.errors import QuarterbackError
from qb.push.courier import TICK, Courier
from qb.push.transport import Transport
from qb.service.core import Core
from qb.service.dispatch import Dispatch
from qb.service.registry import Member, Registry
from qb.service.waiters import Waiters

LOOK_SECONDS = 0.25
"""How often the registry is looked at for nodes that have come or gone."""

RESTART_SECONDS = 30.0
"""How long a node gets no other courier after one that died: what killed it may well kill the next."""

log = structlog.get_logger(__name__)


class Dispatcher:
    """Runs as one task on the event loop, its couriers below it. Owns the transport."""

    def __init__(
        self, core: Core, registry: Registry, waiters: Waiters, dispatch: Dispatch, transport: Transport
    ) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters
        self._dispatch = dispatch
        self._transport = transport
        self._couriers: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Until the server stops."""
        try:
            while not self._core.stopping.is_set():
                self._match()
                await _within(LOOK_SECONDS, self._core.stopping)
        finally:
            for task in self._couriers.values():
                task.cancel()
            await asyncio.gather(*self._couriers.values(), return_exceptions=True)
            await self._transport.close()

    def _match(self) -> None:
        """A courier for each push node, and none for any other."""
        wanted = {node_id for node_id, member in self._registry.members.items() if member.endpoint is not None}
        now = asyncio.get_running_loop().time()
        self._not_before = {each: then for each, then in self._not_before.items() if each in wanted and then > now}
        for node_id in wanted - self._couriers.keys() - self._not_before.keys():
            task = asyncio.create_task(self._serve(self._registry.members[node_id]), name=f"courier {node_id}")
            self._couriers[node_id] = task
            task.add_done_callback(partial(self._ended, node_id))
        for node_id in self._couriers.keys() - wanted:
            self._couriers.pop(node_id).cancel()

    def _ended(self, node_id: str, task: "asyncio.Task[None]") -> None:
        """Let go of a courier that is no more; after one that died the node gets another."""
        if self._couriers.get(node_id) is task:
            del self._couriers[node_id]
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._not_before[node_id] = asyncio.get_running_loop().time() + RESTART_SECONDS
        log.critical("a courier died: the node gets another", node=node_id, seconds=RESTART_SECONDS, exc_info=error)

    async def _serve(self, member: Member) -> None:
        courier = Courier(self._core, self._registry, self._dispatch, self._waiters, self._transport, member)
        try:
            while not self._core.stopping.is_set():
                try:
                    await courier.round()
                except (QuarterbackError, sqlite3.Error) as error:
                    log.error("a courier's round failed", node=courier.member.traits.name, error=str(error))
                    await _within(TICK, self._core.stopping)
        finally:
            courier.close()


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
