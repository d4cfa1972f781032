"""Apply a lifecycle event to a task: the decision, the row, the attempt and the event, in one transaction."""

import sqlite3
from typing import Any

from qb.contract.states import Reason, Reporter, TaskStatus
from qb.domain import lifecycle
from qb.domain.errors import Conflict
from qb.store import events, tasks


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
    **changes: Any,
) -> sqlite3.Row:
    """Carry the event out and write it down; returns the task as it is now.

    Raises Conflict when the event means nothing in the task's status.
    """
    used = row["starts"] if starts is None else starts
    retry = lifecycle.may_retry(starts=used, max_attempts=row["max_attempts"])
    # A cancelled task is not started again, whatever its policy.
    decision = lifecycle.decide(
        TaskStatus(row["status"]), event, may_retry=retry and row["cancel_requested_at"] is None
    )
    if decision is None:
        raise Conflict(f"task {row['id']} is {row['status']}: {event.replace('_', ' ')} does not apply")
    why = decision.reason or (reason if decision.status.terminal or event is lifecycle.Event.FAILED else None)
    if starts is not None:
        changes["starts"] = starts
    if exit_code is not None:
        changes["exit_code"] = exit_code
    if decision.status.terminal:
        changes["reason"] = why
        changes |= _outcome(decision.status, message)
    elif message is not None and source in (Reporter.AGENT, Reporter.RUNNER):
        changes["message"] = message
    moved = tasks.move(db, row, decision.status, now=now, **changes)
    if decision.status.terminal or decision.status is TaskStatus.PENDING:
        outcome = decision.status if decision.status.terminal else event
        tasks.end_attempt(db, row, now=now, outcome=outcome, reason=why, exit_code=exit_code)
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
    return moved


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
