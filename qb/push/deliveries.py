"""What a push, or the status of an older node, makes of a task: each in one transaction."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qb.contract.push import PushStatus
from qb.contract.states import Reason, Reporter, TaskStatus
from qb.domain import leases
from qb.domain.errors import Conflict
from qb.domain.lifecycle import Event
from qb.domain.pushing import Delivery, Finding, judge
from qb.domain.times import after, iso, parse
from qb.push.transport import Sent
from qb.service import transitions
from qb.service.core import Core
from qb.service.registry import Member
from qb.service.ripples import Ripples
from qb.service.waiters import Waiters
from qb.store import claims, deliveries, nodes, tasks

_Work = Callable[[sqlite3.Connection, sqlite3.Row, Ripples], None]
NO_ANSWER = "sent once, and nothing shows that it started: the node was asked for a minute"


class Deliveries:
    """Use cases of the dispatcher."""

    def __init__(self, core: Core, waiters: Waiters) -> None:
        self._core = core
        self._waiters = waiters

    async def held(self, node_id: str) -> tuple[bool, list[sqlite3.Row]]:
        """Whether the operator lets the node have tasks, and what it holds."""

        def read(db: sqlite3.Connection) -> tuple[bool, list[sqlite3.Row]]:
            node = nodes.by_id(db, node_id)
            return node is not None and node["state"] == "active", claims.held(db, node_id)

        return await self._core.readers.run(read)

    async def about_to_send(self, task_id: str, attempt: int, before: PushStatus) -> None:
        """Note what an older node does before it gets a task: later it tells the task's status from this one."""
        delivery = Delivery(before=before.status, before_pid=before.pid)
        await self._core.writer.run(lambda db: deliveries.keep(db, task_id, attempt, delivery))

    async def started(self, member: Member, task_id: str, attempt: int, sent: Sent) -> None:
        """The node has taken it. An older one has started it; ours asks for its permit first."""
        await self._apply(task_id, attempt, lambda db, row, _: self._started(db, member, row, sent))

    async def refused(self, member: Member, task_id: str, attempt: int, sent: Sent) -> None:
        """Nothing can have started: back into the queue, for another node."""

        def work(db: sqlite3.Connection, row: sqlite3.Row, ripples: Ripples) -> None:
            starts = row["starts"] - 1 if member.wire < 2 else None
            now, why = self._now(), sent.why
            moved = transitions.apply(db, row, Event.PUSH_REFUSED, now=now, message=why, starts=starts, ripples=ripples)
            if row["cancel_requested_at"]:
                why = "cancelled before it began"
                transitions.apply(db, moved, Event.CANCEL_REQUESTED, now=now, message=why, ripples=ripples)

        await self._apply(task_id, attempt, work)

    async def rejected(self, member: Member, task_id: str, attempt: int, sent: Sent) -> None:
        """The node says that this cannot be run."""

        def work(db: sqlite3.Connection, row: sqlite3.Row, ripples: Ripples) -> None:
            # An older node counts as a start from its claim on; ours would have asked for a permit first.
            starts = row["starts"] + 1 if member.wire >= 2 else None
            transitions.apply(
                db,
                row,
                Event.FAILED,
                now=self._now(),
                reason=Reason.REFUSED_BY_NODE,
                message=sent.why,
                starts=starts,
                ripples=ripples,
            )

        await self._apply(task_id, attempt, work)

    async def acknowledged(self, member: Member, task_id: str, attempt: int) -> None:
        """The node says that it holds this."""
        lease = after(self._core.clock(), member.lease)
        await self._core.writer.run(lambda db: claims.renew(db, task_id, attempt, lease=lease))

    async def begins(self, member: Member, task_id: str, attempt: int) -> bool:
        """Its turn has come, with a full lease from now on; whether it is still this node's."""
        lease = after(self._core.clock(), member.lease)

        def work(db: sqlite3.Connection) -> bool:
            claims.renew(db, task_id, attempt, lease=lease)
            row = tasks.get(db, task_id)
            return row is not None and row["attempt"] == attempt and TaskStatus(row["status"]).live

        return await self._core.writer.run(work)

    async def rests(self, node_id: str) -> None:
        """A node of Ansible's answers, and holds none: its last runner may have ended without a word."""
        await self._core.writer.run(lambda db: nodes.rests(db, node_id))

    async def seen(self, member: Member, task_id: str, attempt: int, status: PushStatus) -> None:
        """An older node has told its status while it holds this."""
        await self._apply(task_id, attempt, lambda db, row, ripples: self._seen(db, member, row, status, ripples))

    async def _apply(self, task_id: str, attempt: int, work: _Work) -> None:
        def guarded(db: sqlite3.Connection) -> Ripples:
            ripples, row = Ripples(), tasks.get(db, task_id)
            if row is None or row["attempt"] != attempt or not TaskStatus(row["status"]).live:
                return ripples
            work(db, row, ripples)
            moved = tasks.get(db, task_id)
            if moved is not None and moved["status"] == TaskStatus.PENDING:
                ripples.startable.append(row["placement_id"])
            return ripples.resolve(db)

        try:
            ripples = await self._core.writer.run(guarded)
        except Conflict:
            return  # a report or the scheduler came first, and knows better
        ripples.tell(self._core.hub, self._waiters, (task_id,))

    def _started(self, db: sqlite3.Connection, member: Member, row: sqlite3.Row, sent: Sent) -> None:
        claims.renew(db, row["id"], row["attempt"], lease=after(self._core.clock(), member.lease))
        if member.wire < 2:
            known = replace(deliveries.get(db, row["id"], row["attempt"]), known=True, pid=sent.pid)
            deliveries.keep(db, row["id"], row["attempt"], known)
            self._running(db, row)

    def _seen(
        self, db: sqlite3.Connection, member: Member, row: sqlite3.Row, status: PushStatus, ripples: Ripples
    ) -> None:
        now = self._core.clock()
        known = deliveries.get(db, row["id"], row["attempt"])
        finding, delivery = judge(known, status, now=iso(now))
        claims.renew(db, row["id"], row["attempt"], lease=after(now, member.lease))
        if delivery != known:
            deliveries.keep(db, row["id"], row["attempt"], delivery)
        if finding in (Finding.RUNNING, Finding.ENDED):
            row = self._running(db, row)
        if delivery.since and (now - parse(delivery.since)).total_seconds() >= leases.VERDICT_GRACE:
            self._settle(db, row, finding, delivery, ripples)

    def _running(self, db: sqlite3.Connection, row: sqlite3.Row) -> sqlite3.Row:
        """The container runs, or has run: the attempt is no mere assignment any more."""
        if row["status"] != TaskStatus.ASSIGNED:
            return row
        now = self._core.clock()
        changes: dict[str, Any] = {"started_at": iso(now)}
        if row["timeout_seconds"] is not None:
            changes["deadline_at"] = after(now, row["timeout_seconds"] + leases.DEADLINE_GRACE)
        tasks.start_attempt(db, row, now=iso(now))
        return transitions.apply(db, row, Event.REPORTED_RUNNING, now=iso(now), source=Reporter.ORCHESTRATOR, **changes)

    def _settle(
        self, db: sqlite3.Connection, row: sqlite3.Row, finding: Finding, delivery: Delivery, ripples: Ripples
    ) -> None:
        """A minute has passed, and nobody has given a verdict."""
        code = delivery.exit_code
        said: dict[str, Any] = {}
        if finding is Finding.LOST:
            event, text = Event.RUNNER_RESTARTED, "the node's runner was started anew"
        elif finding is Finding.NEVER:
            event, text, said = Event.FAILED, NO_ANSWER, {"reason": Reason.UNDELIVERABLE}
        elif code is None:
            event, text = Event.VERDICT_MISSING, "the container has ended, and nobody has said how"
        else:
            event, text = Event.FAILED if code else Event.SUCCEEDED, f"the container ended with exit code {code}"
            reason = Reason.EXIT_NONZERO if code else None
            said = {"source": Reporter.RUNNER, "reason": reason, "exit_code": code}
        transitions.apply(db, row, event, now=self._now(), message=text, ripples=ripples, **said)

    def _now(self) -> str:
        return iso(self._core.clock())
