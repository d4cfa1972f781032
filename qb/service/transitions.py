"""Apply a lifecycle event to a task: the decision, the row, the attempt and the event, in one transaction."""

import json
import sqlite3
from typing import Any

from qb.contract.scheduling import OnFailure
from qb.contract.states import Reason, Reporter, TaskStatus
from qb.domain import lifecycle
from qb.domain.errors import Conflict
from qb.domain.times import after, parse
from qb.service.ripples import Ripples
from qb.store import dependencies, events, key_limits, nodes, schedules, tasks

RETRIED = frozenset(rule.event for rule in lifecycle.TABLE if rule.guard is lifecycle.Guard.MAY_RETRY)
"""After these another start waits its back-off; what only failed to arrive goes back into line at once."""


def apply(
    db: sqlite3.Connection,
    row: sqlite3.Row,
    event: lifecycle.Event,
    *,
    now: str,
    source: Reporter = Reporter.ORCHESTRATOR,
    reason: Reason | None = None,
    message: str | None = None,
    seq: int | None = None,
    node_id: str | None = None,
    exit_code: int | None = None,
    starts: int | None = None,
    ripples: Ripples | None = None,
    **changes: Any,
) -> sqlite3.Row:
    """Carry the event out and write it down; returns the task as it is now. What follows from its end for the tasks
    that wait for it, or for room of its key, is carried out too, and told to `ripples`.

    Raises Conflict when the event means nothing in the task's status.
    """
    decision, why = _decide(row, event, reason, row["starts"] if starts is None else starts)
    if starts is not None:
        changes["starts"] = starts
    if exit_code is not None:
        changes["exit_code"] = exit_code
    if decision.status.terminal:
        changes["reason"] = why
        changes |= _outcome(decision.status, message)
    elif message is not None and source in (Reporter.AGENT, Reporter.RUNNER):
        changes["message"] = message
    if decision.status is TaskStatus.PENDING and event in RETRIED:
        changes["available_at"] = _next_start(row, changes.get("starts", row["starts"]), now)
    moved = tasks.move(db, row, decision.status, now=now, **changes)
    if decision.status.terminal or decision.status is TaskStatus.PENDING:
        outcome = decision.status if decision.status.terminal else event
        tasks.end_attempt(db, row, now=now, outcome=outcome, reason=why, exit_code=exit_code)
        if row["assigned_node_id"]:
            # its heartbeats say so half a minute later
            nodes.let_go(db, row["assigned_node_id"], row["id"])
    events.add(
        db,
        task_id=row["id"],
        attempt=moved["attempt"],
        at=now,
        kind=event,
        source=source,
        node_id=node_id or row["assigned_node_id"],
        status=moved["status"],
        message=message,
        progress=changes.get("progress"),
        seq=seq,
        detail=_detail(why, exit_code),
    )
    _follow_up(db, row, moved, now, Ripples() if ripples is None else ripples)
    return moved


def _decide(
    row: sqlite3.Row, event: lifecycle.Event, reason: Reason | None, starts: int
) -> tuple[lifecycle.Decision, Reason | None]:
    allowed = json.loads(row["retry_on"]) if row["retry_on"] else None
    retry = lifecycle.may_retry(
        starts=starts,
        max_attempts=row["max_attempts"],
        reason=lifecycle.blame(event, reason),
        retry_on=allowed,
    )
    # A cancelled task is not started again, whatever its policy.
    decision = lifecycle.decide(
        TaskStatus(row["status"]), event, may_retry=retry and row["cancel_requested_at"] is None
    )
    if decision is None:
        raise Conflict(f"task {row['id']} is {row['status']}: {event.replace('_', ' ')} does not apply")
    told = reason if decision.status.terminal or event is lifecycle.Event.FAILED else None
    return decision, decision.reason or told


def _next_start(row: sqlite3.Row, starts: int, now: str) -> str | None:
    """When a task whose start failed may be started again; None for at once."""
    wait = lifecycle.backoff(starts=starts, first=row["backoff_seconds"])
    return after(parse(now), wait) if wait else None


def _follow_up(db: sqlite3.Connection, row: sqlite3.Row, moved: sqlite3.Row, now: str, ripples: Ripples) -> None:
    status = TaskStatus(moved["status"])
    key = moved["limited_by"]
    if key is not None and not status.live:
        if TaskStatus(row["status"]).live:
            ripples.startable.extend(key_limits.freed(db, key))
        # It may have been the one that its line offers, or be the next.
        ripples.startable.extend(key_limits.offer(db, key, moved["placement_id"]))
    if not status.terminal:
        return
    if moved["schedule_id"] == moved["id"]:
        schedules.remove(db, moved["id"])
    if moved["awaited"]:
        ripples.ended.append(moved)
        if len(ripples.ended) == 1:  # else the loop that caused this end takes it up
            _settle_dependants(db, now, ripples)


def _settle_dependants(db: sqlite3.Connection, now: str, ripples: Ripples) -> None:
    """Tell the tasks that wait for those in `ripples.ended`, and so on: a loop, for chains may be long."""
    while ripples.ended:
        done = ripples.ended[0]
        fine = done["status"] == TaskStatus.SUCCESS
        for row in dependencies.dependants(db, done["id"]):
            ripples.changed.append(row["id"])
            if not fine and row["on_failure"] != OnFailure.RUN:
                why = f": {done['reason']}" if done["reason"] else ""
                text = f"task {done['id']}, which it waits for, ended {done['status']}{why}"
                apply(db, row, lifecycle.Event.DEPENDENCY_FAILED, now=now, message=text, ripples=ripples)
            elif row["waits_for"] > 1:
                dependencies.one_less(db, row["id"])
            else:
                apply(db, row, lifecycle.Event.DEPENDENCIES_MET, now=now, ripples=ripples, waits_for=0)
                ripples.startable.append(row["placement_id"])
        ripples.ended.popleft()


def _outcome(status: TaskStatus, message: str | None) -> dict[str, Any]:
    if message is None:
        return {}
    return {"result": message} if status is TaskStatus.SUCCESS else {"error_message": message}


def _detail(reason: Reason | None, exit_code: int | None) -> dict[str, Any] | None:
    detail: dict[str, Any] = {}
    if reason is not None:
        detail["reason"] = reason
    if exit_code is not None:
        detail["exit_code"] = exit_code
    return detail or None
