"""The server's own clockwork: leases, deadlines, tasks whose time has come, silent nodes."""

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from functools import partial

import structlog

from qb.contract.states import TaskStatus
from qb.domain import leases
from qb.domain.errors import QuarterbackError
from qb.domain.lifecycle import Event
from qb.domain.times import after, iso
from qb.service import fleet, legacy, transitions
from qb.service import schedules as runs
from qb.service.core import Core
from qb.service.registry import Member, Registry
from qb.service.ripples import Ripples
from qb.service.waiters import Waiters
from qb.store import claims, doubts, nodes, placements, schedules, tasks

TICK = 1.0
"""Seconds between two looks."""

BATCH = 100
PORTIONS = 5
"""What a tick settles: so many of a kind at a time, that a claim which comes meanwhile waits for one portion only."""
PRESENCE_BATCH = 100
log = structlog.get_logger(__name__)


class Scheduler:
    """Runs as one task on the event loop."""

    def __init__(self, core: Core, registry: Registry, waiters: Waiters) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters

    async def run(self) -> None:
        """Tick until the server stops; a tick that fails is logged, and the next one tries again."""
        while not self._core.stopping.is_set():
            try:
                await self.tick()
            except (QuarterbackError, sqlite3.Error) as error:
                log.error("the scheduler's tick failed", error=str(error))
            try:
                await asyncio.wait_for(self._core.stopping.wait(), TICK)
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """Look once at everything that time alone can change."""
        await fleet.give_full_terms(self._core, self._registry)
        now = self._core.clock()
        silent = fleet.silent(self._registry.members.values(), now)
        if silent:
            await self._note_silence(silent)
        members = self._registry.members.values()
        await self._note_presence([each for each in members if each.dirty and each.to_write(now)])
        for _ in range(PORTIONS):
            if not await self._core.readers.run(lambda db: _anything(db, now)):
                break
            ripples = await self._core.writer.run(lambda db: _settle(db, now))
            ripples.tell(self._core.hub, self._waiters)
        self._waiters.wake_all(await self._core.readers.run(placements.waiting))

    async def _note_silence(self, silent: list[Member]) -> None:
        """Write down which nodes have fallen silent. Who speaks meanwhile is written down as present after it."""
        for member in silent:
            member.offline = True
        try:
            await self._core.writer.run(lambda db: nodes.offline(db, [m.traits.node_id for m in silent]))
        except BaseException:
            for member in silent:
                member.offline = False  # the next tick finds them again
            raise
        log.info("nodes fell silent", nodes=[member.traits.name for member in silent])

    async def _note_presence(self, spoke: list[Member]) -> None:
        """Write down when nodes spoke last, few at a time: a claim that comes meanwhile waits for one batch only."""
        for start in range(0, len(spoke), PRESENCE_BATCH):
            batch = spoke[start : start + PRESENCE_BATCH]
            spoken = [(member, member.last_seen) for member in batch]
            times = [(iso(at), member.traits.node_id) for member, at in spoken]
            await self._core.writer.run(partial(nodes.seen, when=times))
            for member, at in spoken:
                member.written(at)


def _anything(db: sqlite3.Connection, now: datetime) -> bool:
    moment, grace = iso(now), after(now, -leases.CANCEL_GRACE)
    return bool(
        claims.expired(db, now=moment, limit=1)
        or doubts.any_due(db, now=moment)
        or claims.overdue(db, now=moment, limit=1)
        or claims.unconfirmed(db, before=grace, limit=1)
        or claims.due(db, now=moment, limit=1)
        or tasks.expiring(db, now=moment, limit=1)
        or schedules.due(db, now=moment, limit=1)
    )


def _settle(db: sqlite3.Connection, now: datetime) -> Ripples:
    ripples = Ripples()
    for row, event, text in _timed_out(db, now):
        # One that ended meanwhile, with a task that it waited for, has been told of that.
        current = tasks.get(db, row["id"])
        if current is not None and current["status"] == row["status"]:
            transitions.apply(db, row, event, now=iso(now), message=text, ripples=ripples)
            ripples.changed.append(row["id"])
            if row["assigned_node_id"] is not None:  # it shall end what it may still run
                ripples.changed.append(row["assigned_node_id"])
    ripples.changed += legacy.settle(db, now=now, limit=BATCH, ripples=ripples)
    for row in schedules.due(db, now=iso(now), limit=BATCH):
        runs.run(db, row, now)
        ripples.changed.append(row["task_id"])
    claims.make_due(db, now=iso(now), limit=BATCH)
    return ripples.resolve(db)


def _timed_out(db: sqlite3.Connection, now: datetime) -> Iterator[tuple[sqlite3.Row, Event, str]]:
    moment = iso(now)
    for row in claims.overdue(db, now=moment, limit=BATCH):
        text = f"no verdict within {leases.DEADLINE_GRACE:.0f} s after the time-out of {row['timeout_seconds']} s"
        yield row, Event.DEADLINE_PASSED, text
    for row in claims.expired(db, now=moment, limit=BATCH):
        yield row, _silence(row), "the node fell silent"
    for row in claims.unconfirmed(db, before=after(now, -leases.CANCEL_GRACE), limit=BATCH):
        yield row, Event.CANCEL_UNCONFIRMED, "the node cannot prove that the container is gone"
    for row in tasks.expiring(db, now=moment, limit=BATCH):
        yield row, Event.QUEUE_EXPIRED, f"no node took it until {row['expires_at']}"


def _silence(row: sqlite3.Row) -> Event:
    """What the end of this lease means."""
    if row["cancel_requested_at"]:
        return Event.CANCEL_UNCONFIRMED
    if row["status"] == TaskStatus.ASSIGNED and row["wire"] >= 2:
        return Event.UNACKNOWLEDGED
    return Event.LEASE_EXPIRED if row["wire"] >= 2 else legacy.silence(row)
