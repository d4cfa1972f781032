"""Hand tasks to nodes that poll: claim, deliver again what was lost, release what could not be handed over."""

import asyncio
import sqlite3
from contextlib import suppress
from datetime import datetime
from time import perf_counter
from typing import Any, Protocol

from pydantic import ValidationError

from qb.contract.nodes import Held
from qb.contract.states import Reporter, TaskStatus
from qb.contract.tasks import MAX_POLL_WAIT
from qb.domain import leases
from qb.domain.errors import Unauthenticated
from qb.domain.lifecycle import Event
from qb.domain.times import after, iso
from qb.service import legacy, task_env, transitions
from qb.service.core import Core
from qb.service.registry import Member, Registry
from qb.service.ripples import Ripples
from qb.service.waiters import Waiter, Waiters
from qb.store import claims, events, tasks

LONGEST_TOKEN = 31 * 24 * 3600.0


class Line(Protocol):
    """The connection of a poller, who may leave at any time."""

    async def gone(self) -> None:
        """Return when the poller has left."""

    def is_gone(self) -> bool:
        """Whether it is known by now that the poller has left."""


_UNANSWERED = f"delivered {leases.MAX_DELIVERIES} times without an answer: is the node's network dropping replies?"


class Dispatch:
    """Claims for nodes that poll, and for those that are pushed to (qb.push)."""

    def __init__(self, core: Core, registry: Registry, waiters: Waiters) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters

    async def poll(self, node_id: str, *, wait: float, held: list[Held], line: Line) -> dict[str, Any] | None:
        """An Assignment for the node, or None after `wait` seconds.

        `held` is what a wire-2 node says it holds: an assignment that it does not list was lost on the way.
        """
        member = self._registry.members.get(node_id)
        if member is None:
            raise Unauthenticated("this node is not registered: register it again")
        member.seen(self._core.clock())
        waiter = self._waiters.open(member.traits)
        try:
            # A task that waits already is handed over at once; only who stays to wait is watched from the start.
            assignment = await self._look(member, held)
            if assignment is None and wait > 0:
                watch = asyncio.ensure_future(line.gone())
                watch.add_done_callback(lambda _: waiter.wake())
                try:
                    assignment = await self._until(member, waiter, watch, min(wait, MAX_POLL_WAIT), held)
                finally:
                    watch.cancel()
            return None if assignment is None else await self._hand_over(assignment, member, line, waiter)
        finally:
            self._waiters.close(waiter)

    async def _look(self, member: Member, held: list[Held] | None) -> dict[str, Any] | None:
        """What `_seek` finds, with the values of its environment; a task whose values are gone ends here."""
        assignment = await self._seek(member, held)
        if assignment is None or await task_env.fill(self._core, assignment):
            return assignment
        task_id, lost = assignment["task_id"], "the values of its environment are gone: create the task anew"

        def work(db: sqlite3.Connection) -> Ripples:
            ripples = Ripples()
            self._give_up(db, task_id, lost, ripples)
            return ripples.resolve(db)

        (await self._core.writer.run(work)).tell(self._core.hub, self._waiters)
        return None

    async def _seek(self, member: Member, held: list[Held] | None) -> dict[str, Any] | None:
        """Claim, unless the node looked in vain before and nothing has become claimable since."""
        news = self._waiters.news
        if member.looked == news:
            return None
        if member.wire < 2:
            again = await self._old_poll(member)
            if again is not None:
                return again
        begun = perf_counter()
        assignment, idle, ripples = await self._core.writer.run(lambda db: self._claim(db, member, held))
        ripples.tell(self._core.hub, self._waiters)
        if assignment is not None:
            self._core.metrics.claims.observe(perf_counter() - begun)
        member.looked = news if idle and assignment is None else None
        return assignment

    async def reserve(self, node_id: str, *, held: list[Held] | None = None) -> dict[str, Any] | None:
        """An Assignment to push to the node, committed before anything is sent; None when there is nothing for it.

        With `held`, what a wire-2 node says it holds, an assignment that it does not list is delivered again.
        """
        member = self._registry.members.get(node_id)
        return None if member is None else await self._look(member, held)

    async def _until(
        self, member: Member, waiter: Waiter, watch: "asyncio.Future[None]", wait: float, held: list[Held]
    ) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + wait
        while (left := give_up - loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await waiter.wait()
            if watch.done() or waiter.superseded or self._core.stopping.is_set():
                return None
            member.seen(self._core.clock())
            if waiter.ready:
                return None  # the time is up and nobody woke it: there is nothing to look for
            waiter.rest()
            assignment = await self._look(member, held)
            if assignment is not None:
                return assignment
        return None

    async def _old_poll(self, member: Member) -> dict[str, Any] | None:
        """An older node polls only when it is idle: settle what it holds; returns what is to be delivered again."""
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> tuple[dict[str, Any] | None, Ripples]:
            holds = claims.held(db, member.traits.node_id)
            if not holds:
                return None, Ripples()
            again, settled = legacy.polled(db, member, holds, now)
            if again is None:
                return None, settled
            _note(db, again, member.traits.node_id, Event.REDELIVERED, iso(now))
            return self._assignment(member, again, now), settled

        assignment, settled = await self._core.writer.run(work)
        settled.tell(self._core.hub, self._waiters)
        return assignment

    async def _hand_over(
        self, assignment: dict[str, Any], member: Member, line: Line, waiter: Waiter
    ) -> dict[str, Any] | None:
        await asyncio.sleep(0)  # let a disconnect that has arrived be noticed
        if line.is_gone() or waiter.superseded:
            await self.release(assignment["task_id"], assignment["attempt"])
            return None
        self._core.hub.publish(assignment["task_id"])
        # a heartbeat that waits does not list it: the next one will
        self._core.hub.publish(member.traits.node_id)
        return assignment

    async def release(self, task_id: str, attempt: int) -> None:
        """Take an assignment back that could not be handed over: nothing can have started."""
        ripples = await self._core.writer.run(lambda db: self._release(db, task_id, attempt))
        ripples.tell(self._core.hub, self._waiters)

    def _release(self, db: sqlite3.Connection, task_id: str, attempt: int) -> Ripples:
        ripples, row = Ripples(), tasks.get(db, task_id)
        if row is None or row["attempt"] != attempt or row["status"] != TaskStatus.ASSIGNED or row["acknowledged"]:
            return ripples
        # an older node's start is counted when it is claimed
        member = self._registry.members.get(row["assigned_node_id"])
        starts = row["starts"] - 1 if member is not None and member.wire < 2 else None
        now = iso(self._core.clock())
        text = "the poller had gone"
        transitions.apply(db, row, Event.RELEASED, now=now, message=text, starts=starts, ripples=ripples)
        ripples.changed.append(task_id)
        ripples.startable.append(row["placement_id"])
        return ripples.resolve(db)

    def _claim(
        self, db: sqlite3.Connection, member: Member, held: list[Held] | None
    ) -> tuple[dict[str, Any] | None, bool, Ripples]:
        """The node's next Assignment, whether it held nothing before, and what has changed besides."""
        ripples, now = Ripples(), self._core.clock()
        moment = iso(now)
        node_id = member.traits.node_id
        holds = claims.held(db, node_id)
        if holds and member.wire >= 2 and held is not None:
            lost = self._deliver_again(db, member, holds, held, ripples)
            ripples.resolve(db)
            if lost is not None:
                return self._assignment(member, lost, now), False, ripples
        if len(holds) >= member.slots:
            return None, False, ripples
        term = leases.ACKNOWLEDGE if member.wire >= 2 else member.lease
        row = claims.claim(
            db,
            node_id=node_id,
            node_name=member.traits.name,
            now=moment,
            lease=after(now, term),
            counts_start=member.wire < 2,
            floor=self._registry.floor,
        )
        if row is None:
            return None, not holds, ripples
        _note(db, row, node_id, Event.CLAIMED, moment)
        return self._assignment(member, row, now), not holds, ripples

    def _deliver_again(
        self, db: sqlite3.Connection, member: Member, holds: list[sqlite3.Row], held: list[Held], ripples: Ripples
    ) -> sqlite3.Row | None:
        now = self._core.clock()
        listed = {(each.task_id, each.attempt) for each in held}
        for row in holds:
            if (row["id"], row["attempt"]) in listed:
                claims.renew(db, row["id"], row["attempt"], lease=after(now, member.lease))
            elif row["status"] == TaskStatus.ASSIGNED and not row["cancel_requested_at"]:
                if row["deliveries"] < leases.MAX_DELIVERIES:
                    lease = after(now, leases.ACKNOWLEDGE)
                    again = claims.redeliver(db, row["id"], row["attempt"], lease=lease)
                    if again is not None:
                        _note(db, again, member.traits.node_id, Event.REDELIVERED, iso(now))
                        return again
                else:
                    self._give_up(db, row["id"], _UNANSWERED, ripples)
        return None

    def _give_up(self, db: sqlite3.Connection, task_id: str, text: str, ripples: Ripples) -> None:
        row = tasks.get(db, task_id)
        if row is not None:
            now = iso(self._core.clock())
            transitions.apply(db, row, Event.UNDELIVERABLE, now=now, message=text, ripples=ripples)
            ripples.changed.append(task_id)

    def _assignment(self, member: Member, row: sqlite3.Row, now: datetime) -> dict[str, Any]:
        settings = self._core.settings
        timeout = row["timeout_seconds"]
        assignment = {
            "task_id": row["id"],
            "orchestrator_url": settings.url,
            "timeout_seconds": timeout,
            **claims.payload(row),
            "attempt": row["attempt"],
        }
        if member.wire >= 2:
            lifetime = LONGEST_TOKEN if timeout is None else timeout + leases.TOKEN_GRACE
            token = self._core.credentials.task_token(row["id"], row["attempt"], lifetime=lifetime, now=now)
            assignment |= {
                "lease_seconds": int(member.lease),
                "task_token": token,
                "agent_url": settings.agent_url,
                "crush_server_url": settings.crush_server_url,
            }
        return assignment


def _note(db: sqlite3.Connection, row: sqlite3.Row, node_id: str, event: Event, at: str) -> None:
    events.add(
        db,
        task_id=row["id"],
        attempt=row["attempt"],
        at=at,
        kind=event,
        source=Reporter.ORCHESTRATOR,
        node_id=node_id,
        status=TaskStatus.ASSIGNED,
    )


def parse_held(text: str) -> list[Held]:
    """``ID:ATTEMPT,...`` as a wire-2 poll lists it; what cannot be read is passed over."""
    held = []
    for part in filter(None, text.split(",")):
        task_id, _, attempt = part.rpartition(":")
        with suppress(ValidationError):
            held.append(Held.model_validate({"task_id": task_id, "attempt": attempt}))
    return held
