"""POST /status: what nodes and agents report, and what it makes of a task."""

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qb.contract.states import Reason, Reporter, ReportStatus, TaskStatus
from qb.contract.tasks import StatusReport
from qb.domain import leases, lifecycle
from qb.domain.errors import AlreadyEnded, Invalid, NotFound, QuarterbackError, StaleAttempt
from qb.domain.lifecycle import Event
from qb.domain.times import after, iso
from qb.service import legacy, transitions
from qb.service.adoption import adopt, adopt_unnumbered
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Registry
from qb.service.ripples import Ripples
from qb.service.speakers import Speaker, attempt_of, speaker_of
from qb.service.waiters import Waiters
from qb.store import claims, events, placements, tasks

_FROM_STATUS = {ReportStatus.RUNNING: Event.REPORTED_RUNNING, ReportStatus.ANALYZING: Event.REPORTED_ANALYZING}


@dataclass(frozen=True, slots=True)
class _Heard:
    """A report with everything that is known of it from elsewhere than its body."""

    body: StatusReport
    source: Reporter
    node_id: str | None
    attempt: int
    wire: int
    now: datetime
    ripples: Ripples = field(default_factory=Ripples)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The task as it is after the report, or why the report was not applied; either is committed first."""

    task: dict[str, Any]
    refusal: QuarterbackError | None = None
    freed: bool = False
    ripples: Ripples | None = None


class Reports:
    """Takes reports in."""

    def __init__(self, core: Core, registry: Registry, waiters: Waiters) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters

    async def take(self, identity: Identity, body: StatusReport, *, user_agent: str | None = None) -> dict[str, Any]:
        """Store the report and apply it; returns the Task. `user_agent` tells older clients apart.

        Raises NotFound for an unknown or foreign task, StaleAttempt and AlreadyEnded when the report came too
        late: it is stored as an event then, and changes nothing.
        """
        if body.task is None:
            raise Invalid("task_id is missing: name the task that the report is about")
        now = self._core.clock()
        speaker = speaker_of(self._registry, identity, body, user_agent, now)
        answer = await self._core.writer.run(lambda db: self._take(db, identity, body, speaker, now))
        self._core.hub.publish(body.task)
        if answer.ripples is not None:
            answer.ripples.tell(self._core.hub, self._waiters)
        if answer.freed:
            target = await self._core.readers.run(lambda db: _target(db, body.task or ""))
            self._waiters.wake_one(target)
        if body.status.terminal and identity.node_id is not None:
            self._waiters.slot_freed(identity.node_id)
        if answer.refusal is not None:
            raise answer.refusal
        return answer.task

    def _take(
        self, db: sqlite3.Connection, identity: Identity, body: StatusReport, speaker: Speaker, now: datetime
    ) -> _Answer:
        task_id = body.task or ""
        own = self._registry.members.get(identity.node_id or "")
        if own is not None and body.attempt is not None:
            adopt(db, own, task_id, body.attempt, floor=self._registry.floor, now=now)
        elif own is not None and identity.current:
            adopt_unnumbered(db, own, task_id, floor=self._registry.floor, now=now)
        attempt = attempt_of(db, identity, task_id, body.attempt, now=now)
        if speaker.member is not None:
            legacy.remember(db, speaker.member, speaker.learnt)
        row = tasks.get(db, task_id)
        if row is None:
            raise NotFound(f"no task {task_id}")
        source = speaker.source
        member = self._registry.members.get(row["assigned_node_id"] or "")
        wire = member.wire if member else 2 if body.attempt or source is Reporter.AGENT else 1
        heard = _Heard(body, source, identity.node_id or row["assigned_node_id"], attempt, wire, now)
        if body.seq is not None and events.known(db, task_id, attempt, source, body.seq):
            return _Answer(_shown(db, task_id))
        refusal, freed = self._apply(db, row, heard)
        if member is not None and refusal is None:
            claims.renew(db, task_id, attempt, lease=after(now, member.lease))
        return _Answer(_shown(db, task_id), refusal, freed, heard.ripples.resolve(db))

    def _apply(self, db: sqlite3.Connection, row: sqlite3.Row, heard: _Heard) -> tuple[QuarterbackError | None, bool]:
        status = TaskStatus(row["status"])
        if heard.attempt != row["attempt"] or status is TaskStatus.PENDING:
            if heard.wire < 2 and legacy.same_end(db, row["id"], heard.attempt, heard.body.status):
                return None, False
            _note(db, row, heard, applied=False)
            text = f"attempt {heard.attempt} of task {row['id']} is over: stop its container, start nothing"
            return StaleAttempt(text), False
        if status.terminal:
            return _late(db, row, heard), False
        if heard.source is Reporter.AGENT and heard.wire >= 2:
            _agent(db, row, heard)
            return None, False
        if heard.body.status.terminal:
            return None, _verdict(db, row, heard) is TaskStatus.PENDING
        if row["cancel_requested_at"] and status is TaskStatus.ASSIGNED and heard.wire >= 2:
            transitions.apply(
                db,
                row,
                Event.CANCEL_CONFIRMED,
                now=iso(heard.now),
                message="cancelled before it began",
                ripples=heard.ripples,
            )
            return AlreadyEnded(f"task {row['id']} is cancelled: start nothing"), False
        if heard.body.preparing and status is TaskStatus.ASSIGNED and heard.wire >= 2:
            tasks.move(db, row, status, now=iso(heard.now), **_told(heard.body))
            _note(db, row, heard, applied=True)
        elif heard.wire >= 2 or not legacy.nothing_new(row, heard.body):
            _progress(db, row, heard)
        return None, False


def _progress(db: sqlite3.Connection, row: sqlite3.Row, heard: _Heard) -> None:
    """Running or analyzing. From a wire-2 runner the first one asks for the permit to start the container."""
    body, now = heard.body, iso(heard.now)
    changes = _told(body)
    message = changes.pop("message", None)
    starts = None
    if row["started_at"] is None:
        changes["started_at"] = now
        if row["timeout_seconds"] is not None:
            changes["deadline_at"] = after(heard.now, row["timeout_seconds"] + leases.DEADLINE_GRACE)
        starts = row["starts"] + 1 if heard.wire >= 2 else None
        tasks.start_attempt(db, row, now=now)
    transitions.apply(
        db,
        row,
        _FROM_STATUS[body.status],
        now=now,
        source=heard.source,
        message=message,
        seq=body.seq,
        node_id=heard.node_id,
        starts=starts,
        **changes,
    )


def _agent(db: sqlite3.Connection, row: sqlite3.Row, heard: _Heard) -> None:
    """What the agent claims. Its verdict is kept; the end waits for the exit that the runner sees."""
    body = heard.body
    if not body.status.terminal and row["status"] != TaskStatus.ASSIGNED:
        _progress(db, row, heard)
        return
    changes = _told(body)
    if body.status.terminal:
        changes["agent_status"] = body.status
        tasks.agent_said(db, row, body.status, body.message)
    tasks.move(db, row, TaskStatus(row["status"]), now=iso(heard.now), **changes)
    _note(db, row, heard, applied=True)


def _verdict(db: sqlite3.Connection, row: sqlite3.Row, heard: _Heard) -> TaskStatus:
    """The end of the attempt as the one tells it who may: our runner, or whoever speaks for an older client."""
    body = heard.body
    reason = body.reason
    if heard.wire < 2 and heard.source is Reporter.AGENT and body.status is ReportStatus.ERROR:
        reason = Reason.AGENT_ERROR
    agent = row["agent_status"] if heard.wire >= 2 else None
    verdict = lifecycle.verdict(agent=agent, runner=body.status, reason=reason)
    event = Event.SUCCEEDED if verdict.succeeded else Event.FAILED
    if row["cancel_requested_at"] and not verdict.succeeded:
        event = Event.CANCEL_CONFIRMED
    # An attempt that failed before its permit still counts, or it would be tried for ever.
    starts = row["starts"] + 1 if row["started_at"] is None and heard.wire >= 2 else None
    said = body.message or row["message"]
    moved = transitions.apply(
        db,
        row,
        event,
        now=iso(heard.now),
        source=heard.source,
        reason=verdict.reason,
        message=said,
        seq=body.seq,
        node_id=heard.node_id,
        exit_code=body.exit_code,
        starts=starts,
        ripples=heard.ripples,
        **({"progress": 100} if verdict.succeeded else {}),
    )
    return TaskStatus(moved["status"])


def _late(db: sqlite3.Connection, row: sqlite3.Row, heard: _Heard) -> QuarterbackError | None:
    same = row["status"] == heard.body.status
    if same and heard.body.seq is None:
        return None
    _note(db, row, heard, applied=False)
    if same:
        return None
    return AlreadyEnded(f"task {row['id']} has ended {row['status']}: the report is kept as an event")


def _told(body: StatusReport) -> dict[str, Any]:
    told = {"message": body.message, "progress": body.progress, "crush_session_id": body.crush_session_id}
    return {key: value for key, value in told.items() if value is not None}


def _note(db: sqlite3.Connection, row: sqlite3.Row, heard: _Heard, *, applied: bool) -> None:
    body = heard.body
    events.add(
        db,
        task_id=row["id"],
        attempt=heard.attempt,
        at=iso(heard.now),
        kind=f"{heard.source}_{body.status}",
        source=heard.source,
        node_id=heard.node_id,
        status=row["status"],
        message=body.message,
        progress=body.progress,
        seq=body.seq,
        applied=applied,
    )


def _shown(db: sqlite3.Connection, task_id: str) -> dict[str, Any]:
    task = tasks.show(db, task_id)
    if task is None:
        raise NotFound(f"no task {task_id}")
    return task


def _target(db: sqlite3.Connection, task_id: str) -> Any:
    row = tasks.get(db, task_id)
    if row is None:
        raise NotFound(f"no task {task_id}")
    return placements.target_of(db, row["placement_id"])
