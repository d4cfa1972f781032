"""New tasks: what a creator asks for, made into rows. Schedules, groups and retries make theirs from a pattern."""

import json
import sqlite3
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from qb.contract.routes import Caller
from qb.contract.scheduling import OnFailure
from qb.contract.scopes import Scope
from qb.contract.states import Reporter, TaskStatus
from qb.contract.tasks import TaskCreate
from qb.domain.errors import Forbidden, Invalid
from qb.domain.lifecycle import Event
from qb.domain.placement import Target, matches
from qb.domain.recurrence import Recurrence
from qb.domain.times import after, iso
from qb.service import delegation, files, transitions
from qb.service.credentials import Credentials, Identity
from qb.store import dependencies, events, key_limits, nodes, placements, schedules, tasks
from qb.store.files import StoredFile, add_task_files


@dataclass(frozen=True, slots=True)
class Draft:
    """A task that was asked for, as far as it can be checked without the database. `most`: bytes of all its files.

    The values of its environment are kept under `env_id`. `parent` asks for it; `vouched`: with its own token.
    `credentials` say what the key may run when the task is written: its limit may have changed since the request.
    """

    body: TaskCreate
    target: Target
    identity: Identity
    credentials: Credentials
    recurrence: Recurrence | None
    most: int
    env_id: str | None = None
    parent: str | None = None
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A task that was made, and whom it may be handed to at once: nobody (None) when it has to wait."""

    task: dict[str, Any]
    startable: Target | None


def draft(
    body: TaskCreate, identity: Identity, credentials: Credentials, *, most: int, asking: Identity | None = None
) -> Draft:
    """Check what is asked for, by the task `asking` if one does. Raises Invalid, naming the field."""
    _check_scopes(body, identity)
    env_id = str(uuid.uuid4()) if body.env else None
    parent, vouched = delegation.parent_of(body, asking), asking is not None
    target = target_of(identity, body)
    return Draft(body, target, identity, credentials, _recurrence(body), most, env_id, parent, vouched)


def target_of(identity: Identity, body: TaskCreate) -> Target:
    """The nodes that may run the task: those it asks for, of those that its creator's key allows. Raises Invalid."""
    return Target.of(
        node_id=body.target_node_id,
        node_name=body.target_node_name,
        tags=body.target_tags,
        capabilities=body.capabilities,
        needs_limits=body.limits is not None,
    ).narrowed(within=identity.node_patterns, tags=dict(identity.node_tags))


def create(db: sqlite3.Connection, asked: Draft, now: datetime) -> Made:
    """Add the task; a recurring one becomes a schedule. Raises Invalid, naming what cannot be, and Conflict."""
    if asked.target.node_id is not None and not _known(db, asked.target, asked.target.node_id, asked.identity):
        raise Invalid(f"target_node_id: no node {asked.target.node_id}; `qb node list` shows those there are")
    place = delegation.place(db, asked.body, asked.parent, asked.identity, vouched=asked.vouched)
    attached = attachments(db, asked)
    failed, waits_for = _dependencies(db, asked)
    new = as_new(asked, placements.ensure(db, asked.target), now, limited_by(db, asked))
    new = replace(new, waits_for=len(waits_for), **asdict(place))
    if asked.recurrence is not None:
        new = replace(new, schedule_id=new.id, available_at=None, expires_at=None)
    add(db, new, attached)
    dependencies.add(db, new.id, waits_for)
    if asked.recurrence is not None:
        _schedule(db, new, asked, asked.recurrence, now)
    elif failed is not None:
        row = tasks.get(db, new.id)
        assert row is not None  # noqa: S101 - it was added above
        transitions.apply(db, row, Event.DEPENDENCY_FAILED, now=iso(now), message=failed)
    return made(db, new.id)


def attachments(db: sqlite3.Connection, asked: Draft) -> list[StoredFile]:
    """The files that were asked for."""
    return files.resolve(db, list(asked.body.files or ()), identity=asked.identity, most=asked.most)


def limited_by(db: sqlite3.Connection, asked: Draft) -> str | None:
    """The creator's key if it has a limit now."""
    return under_limit(db, asked.identity.key_id, asked.credentials.max_running(asked.identity))


def under_limit(db: sqlite3.Connection, key_id: str | None, most: int | None) -> str | None:
    """The key if there is a limit, which is noted for its tasks."""
    if key_id is None or most is None:
        return None
    key_limits.set_limit(db, key_id, most)
    return key_id


def as_new(asked: Draft, line: int, now: datetime, limit: str | None) -> tasks.NewTask:
    """The row of what was asked for, in a line, with an id of its own; `limit`: the key whose limit holds for it."""
    body, identity = asked.body, asked.identity
    later = body.scheduled_for if body.scheduled_for is not None and body.scheduled_for > now else None
    new = tasks.NewTask(
        id=str(uuid.uuid4()),
        prompt=body.prompt,
        placement_id=line,
        priority=body.priority,
        timeout_seconds=body.timeout_seconds,
        max_attempts=body.max_attempts,
        created_at=iso(now),
        created_by=identity.name,
        created_by_key=identity.key_id,
        title=body.title,
        available_at=iso(later) if later else None,
        image=body.image,
        env=json.dumps(sorted(body.env)) if body.env else None,
        env_id=asked.env_id,
        limits=body.limits.model_dump_json(exclude_none=True) if body.limits else None,
        scheduled_for=iso(body.scheduled_for) if body.scheduled_for else None,
        recurrence=body.recurrence,
        depends_on=json.dumps(body.depends_on) if body.depends_on else None,
        on_failure=body.on_failure if body.depends_on else None,
        queue_timeout_seconds=body.queue_timeout_seconds,
        backoff_seconds=body.backoff_seconds,
        retry_on=json.dumps(body.retry_on) if body.retry_on else None,
        limited_by=limit,
    )
    return replace(new, expires_at=expiry(new, later or now))


def expiry(new: tasks.NewTask, start: datetime) -> str | None:
    """When a task that could start at `start` has waited too long."""
    return after(start, new.queue_timeout_seconds) if new.queue_timeout_seconds else None


def add(
    db: sqlite3.Connection, new: tasks.NewTask, attached: list[StoredFile], detail: dict[str, Any] | None = None
) -> None:
    """Add a task to its line, with its files and the first event of its history."""
    tasks.insert(db, new)
    add_task_files(db, new.id, attached)
    if new.limited_by is not None:
        key_limits.offer(db, new.limited_by, new.placement_id)
    told = dict(detail or {}) | ({"files": [each.name for each in attached]} if attached else {})
    events.add(
        db,
        task_id=new.id,
        attempt=0,
        at=new.created_at,
        kind="created",
        source=Reporter.OPERATOR,
        status=TaskStatus.PENDING,
        detail=told or None,
    )


def made(db: sqlite3.Connection, task_id: str) -> Made:
    """The task that was added."""
    row, task = tasks.get(db, task_id), tasks.show(db, task_id)
    assert row is not None  # noqa: S101 - it was added in this transaction
    assert task is not None  # noqa: S101
    # Of a limited key's tasks another one of the line may have been offered now.
    startable = row["claimable"] or row["limited_by"] is not None
    return Made(task, placements.target_of(db, row["placement_id"]) if startable else None)


def _known(db: sqlite3.Connection, target: Target, node_id: str, identity: Identity) -> bool:
    """Whether the caller may know of the node: a scoped key sees none but those that it may use."""
    row = nodes.by_id(db, node_id)
    if row is None or identity.caller is not Caller.SCOPED:
        return row is not None
    own = Target.of(tags=dict(identity.node_tags))
    return matches(replace(own, within=target.within), nodes.traits(row))


def _check_scopes(body: TaskCreate, identity: Identity) -> None:
    """What a container runs, and with which environment, are scopes of their own. Raises Forbidden."""
    if identity.caller is not Caller.SCOPED:
        return
    for field, scope in (("image", Scope.IMAGE), ("env", Scope.ENV)):
        if getattr(body, field) and scope not in identity.scopes:
            raise Forbidden(f"{field}: this key lacks the scope {scope}: leave it out, or ask for a key that has it")


def _recurrence(body: TaskCreate) -> Recurrence | None:
    if body.recurrence is None:
        if body.time_zone is not None:
            raise Invalid("time_zone: is for recurrence alone; give scheduled_for its offset instead")
        return None
    if body.depends_on:
        raise Invalid("depends_on: a schedule waits for no other task; leave recurrence or depends_on out")
    try:
        return Recurrence.of(body.recurrence, body.time_zone)
    except ValueError as error:
        raise Invalid(f"recurrence: {error}") from error


def _dependencies(db: sqlite3.Connection, asked: Draft) -> tuple[str | None, list[str]]:
    """Why the task can never run, if so, and what it has to wait for. Raises Invalid for an unknown or foreign task."""
    body, scoped = asked.body, asked.identity.caller is Caller.SCOPED
    failed, waits_for = None, []
    for task_id in dict.fromkeys(body.depends_on or ()):
        row = tasks.get(db, task_id)
        if row is None or (scoped and row["created_by_key"] != asked.identity.key_id):
            raise Invalid(f"depends_on: no task {task_id}; `qb task list` shows those there are")
        if row["schedule_id"] == row["id"]:
            raise Invalid(f"depends_on: {task_id} is a schedule and never ends; name one of its runs")
        if not TaskStatus(row["status"]).terminal:
            waits_for.append(task_id)
        elif row["status"] != TaskStatus.SUCCESS and body.on_failure is not OnFailure.RUN:
            failed = f"task {task_id}, which it waits for, had ended {row['status']}: {row['reason']}"
    return failed, waits_for


def _schedule(db: sqlite3.Connection, new: tasks.NewTask, asked: Draft, recurrence: Recurrence, now: datetime) -> None:
    first = recurrence.after(now)
    start = asked.body.scheduled_for
    if start is not None and start > now:
        first = start if recurrence.upto(start) == start else recurrence.after(start)
    if first is None:
        raise Invalid("recurrence: this time never comes")
    schedules.add(
        db,
        schedules.NewSchedule(
            task_id=new.id,
            recurrence=recurrence.expression,
            time_zone=recurrence.zone.key,
            missed_runs=asked.body.missed_runs,
            next_run_at=iso(first),
            created_at=iso(now),
        ),
    )
