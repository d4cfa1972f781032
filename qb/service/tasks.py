"""Tasks as operators and external systems use them: create, show, list, cancel, history."""

import sqlite3
import uuid
from datetime import datetime
from typing import Any, TypeVar

from qb.contract.routes import Caller
from qb.contract.states import Reporter, TaskStatus
from qb.contract.tasks import TaskCreate
from qb.domain.errors import Invalid, NotFound
from qb.domain.lifecycle import Event
from qb.domain.placement import Target
from qb.domain.times import iso
from qb.service import files, transitions
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.waiters import Waiters
from qb.store import events, nodes, placements, tasks
from qb.store.files import add_task_files

T = TypeVar("T")


class Tasks:
    """Use cases about tasks."""

    def __init__(self, core: Core, waiters: Waiters) -> None:
        self._core = core
        self._waiters = waiters

    async def create(self, identity: Identity, body: TaskCreate) -> dict[str, Any]:
        """Add a task; returns it as Task once it is durable. Raises Invalid, naming what cannot be."""
        _not_yet(body)
        target = Target.of(
            node_id=body.target_node_id,
            node_name=body.target_node_name,
            tags=body.target_tags,
            capabilities=body.capabilities,
            needs_limits=body.limits is not None,
        ).narrowed(within=identity.node_patterns, tags=dict(identity.node_tags))
        now = self._core.clock()
        task = await self._core.writer.run(lambda db: self._create(db, identity, body, target, now))
        self._core.hub.publish(task["id"])
        self._waiters.wake_one(target)
        return task

    def _create(
        self, db: sqlite3.Connection, identity: Identity, body: TaskCreate, target: Target, now: datetime
    ) -> dict[str, Any]:
        if target.node_id is not None and nodes.by_id(db, target.node_id) is None:
            raise Invalid(f"target_node_id: no node {target.node_id}; `qb node list` shows those there are")
        quotas = self._core.settings.quotas
        attached = files.resolve(db, list(body.files or ()), identity=identity, most=quotas.task)
        later = body.scheduled_for is not None and body.scheduled_for > now
        task_id = str(uuid.uuid4())
        new = tasks.NewTask(
            id=task_id,
            prompt=body.prompt,
            placement_id=placements.ensure(db, target),
            priority=body.priority,
            timeout_seconds=body.timeout_seconds,
            max_attempts=body.max_attempts,
            created_at=iso(now),
            created_by=identity.name,
            created_by_key=identity.key_id,
            title=body.title,
            available_at=iso(body.scheduled_for) if later and body.scheduled_for else None,
            image=body.image,
            limits=body.limits.model_dump_json(exclude_none=True) if body.limits else None,
            scheduled_for=iso(body.scheduled_for) if body.scheduled_for else None,
        )
        tasks.insert(db, new)
        add_task_files(db, task_id, attached)
        detail = {"files": [each.name for each in attached]} if attached else None
        events.add(
            db,
            task_id=task_id,
            attempt=0,
            at=iso(now),
            kind="created",
            source=Reporter.OPERATOR,
            status=TaskStatus.PENDING,
            detail=detail,
        )
        return _there(tasks.show(db, task_id), task_id)

    async def one(self, identity: Identity, task_id: str) -> dict[str, Any]:
        """The task. Raises NotFound, for a foreign one too."""
        if identity.caller is Caller.AGENT and identity.task_id != task_id:
            raise NotFound(f"no task {task_id}")
        task = await self._core.readers.run(lambda db: tasks.show(db, task_id))
        return _there(task, task_id)

    async def page(
        self, *, status: TaskStatus | None, before: int, limit: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Tasks, newest first, and where the next page begins."""
        return await self._core.readers.run(lambda db: tasks.page(db, status=status, before=before, limit=limit))

    async def cancel(self, task_id: str) -> dict[str, Any]:
        """Ask for the end of a task; idempotent. A pending one ends at once, a live one when its node confirms."""
        now = iso(self._core.clock())
        task = await self._core.writer.run(lambda db: _cancel(db, task_id, now))
        self._core.hub.publish(task_id)
        return task


def _cancel(db: sqlite3.Connection, task_id: str, now: str) -> dict[str, Any]:
    row = _there(tasks.get(db, task_id), task_id)
    if not TaskStatus(row["status"]).terminal and row["cancel_requested_at"] is None:
        tasks.request_cancel(db, task_id, now=now)
        transitions.apply(
            db,
            row,
            Event.CANCEL_REQUESTED,
            now=now,
            source=Reporter.OPERATOR,
            message="cancelled by the operator" if row["status"] == TaskStatus.PENDING else None,
        )
    return _there(tasks.show(db, task_id), task_id)


def _not_yet(body: TaskCreate) -> None:
    """Refuse what this release does not do yet, rather than accept it and do nothing."""
    for field in ("recurrence", "depends_on", "env"):
        if getattr(body, field):
            raise Invalid(f"{field}: not supported by this release; leave it out")


def _there(value: T | None, task_id: str) -> T:
    if value is None:
        raise NotFound(f"no task {task_id}")
    return value
