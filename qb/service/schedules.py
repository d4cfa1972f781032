"""Schedules: list them, end them, and make the runs whose time has come."""

import sqlite3
import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from qb.contract.acts import Action
from qb.contract.scheduling import MissedRuns
from qb.contract.states import Reporter
from qb.domain.errors import NotFound
from qb.domain.recurrence import ON_TIME, Recurrence
from qb.domain.times import iso, parse
from qb.service import audit, cancelling, creation
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.ripples import Ripples
from qb.store import events, schedules, tasks
from qb.store.files import task_files


class Schedules:
    """Use cases about schedules."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def page(self, identity: Identity, *, before: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Schedules that the caller may see, newest first; and where the next page begins."""
        owner = identity.owner
        return await self._core.readers.run(lambda db: schedules.page(db, before=before, limit=limit, owner=owner))

    async def one(self, schedule_id: str) -> dict[str, Any]:
        """One schedule. Raises NotFound."""
        return _there(await self._core.readers.run(lambda db: schedules.show(db, schedule_id)), schedule_id)

    async def remove(self, actor: Actor, schedule_id: str) -> dict[str, Any]:
        """End a schedule, which cancels the task that it was created as; its runs stay. Raises NotFound."""
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            found = _there(schedules.show(db, schedule_id), schedule_id)
            row = tasks.get(db, schedule_id)
            if row is not None and cancelling.cancel(db, row, iso(now), Ripples()):
                audit.note(db, actor, Action.TASK_CANCELLED, schedule_id, now=now, detail={"schedule": True})
            return found | {"next_run_at": None}

        removed = await self._core.writer.run(work)
        self._core.hub.publish(schedule_id)
        return removed


def run(db: sqlite3.Connection, row: sqlite3.Row, now: datetime) -> None:
    """Make the run of a schedule that is due, or skip it when it was missed; and note when it runs next.

    Of several that are due only the last one is made.
    """
    try:
        recurrence = Recurrence.of(row["recurrence"], row["time_zone"])
    except ValueError as error:
        # It was good when it was made: this machine has lost its time zones, or that one.
        _note(db, row, now, "run_missed", f"the schedule stands still: {error}")
        schedules.ran(db, row["task_id"], next_run_at=None, last_run_at=None)
        return
    due = max(filter(None, [recurrence.upto(now), parse(row["next_run_at"])]))
    following = recurrence.after(now)
    pattern = tasks.pattern(db, row["task_id"])
    missed = (now - due).total_seconds() > ON_TIME and row["missed_runs"] == MissedRuns.SKIP
    if pattern is None or missed:
        _note(db, row, now, "run_missed", f"the control plane was away at {iso(due)}, and missed runs are skipped")
    else:
        new = _like(pattern, due, now)
        creation.add(db, new, task_files(db, row["task_id"]), {"schedule_id": row["task_id"]})
        _note(db, row, now, "run_created", f"task {new.id}")
    next_run_at = iso(following) if following else None
    schedules.ran(db, row["task_id"], next_run_at=next_run_at, last_run_at=None if missed else iso(now))


def _like(pattern: tasks.NewTask, due: datetime, now: datetime) -> tasks.NewTask:
    return replace(
        pattern,
        id=str(uuid.uuid4()),
        recurrence=None,
        scheduled_for=iso(due),
        created_at=iso(now),
        expires_at=creation.expiry(pattern, now),
    )


def _note(db: sqlite3.Connection, row: sqlite3.Row, now: datetime, kind: str, text: str) -> None:
    events.add(
        db,
        task_id=row["task_id"],
        attempt=0,
        at=iso(now),
        kind=kind,
        source=Reporter.ORCHESTRATOR,
        message=text,
    )


def _there(schedule: dict[str, Any] | None, schedule_id: str) -> dict[str, Any]:
    if schedule is None:
        raise NotFound(f"no schedule {schedule_id}")
    return schedule
