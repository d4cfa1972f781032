"""Retries that somebody asks for: the task that ended stays as it is, and another one like it is made.

It belongs to whoever made the first one.
"""

import sqlite3
import uuid
from dataclasses import replace
from datetime import datetime

from qb.contract.states import TaskStatus
from qb.domain.errors import Conflict, NotFound
from qb.domain.times import iso
from qb.service import creation, delegation
from qb.service.credentials import Credentials, Identity
from qb.store import key_limits, tasks
from qb.store.files import task_files


def retry(
    db: sqlite3.Connection, identity: Identity, credentials: Credentials, task_id: str, now: datetime
) -> creation.Made:
    """The new task, under the limit that its key has now. Raises NotFound and Conflict."""
    row, pattern = tasks.get(db, task_id), tasks.pattern(db, task_id)
    if row is None or pattern is None:
        raise NotFound(f"no task {task_id}")
    _check(db, row)
    delegation.check_budget(db, row["root_task_id"])
    new = replace(
        pattern,
        id=str(uuid.uuid4()),
        retry_of=task_id,
        created_at=iso(now),
        available_at=None,
        scheduled_for=None,
        depends_on=None,
        on_failure=None,
        waits_for=0,
        expires_at=creation.expiry(pattern, now),
        limited_by=_limited_by(db, pattern, credentials),
    )
    creation.add(db, new, task_files(db, task_id), {"retry_of": task_id, "by": identity.name})
    return creation.made(db, new.id)


def _limited_by(db: sqlite3.Connection, pattern: tasks.NewTask, credentials: Credentials) -> str | None:
    """The key of the first task if it has a limit now: it may have got, changed or lost one since that task ended."""
    key = pattern.created_by_key
    if key is None:
        return None
    most = credentials.limit_now(key, otherwise=key_limits.limit(db, key) if pattern.limited_by else None)
    return creation.under_limit(db, key, most)


def _check(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    status = TaskStatus(row["status"])
    if row["schedule_id"] == row["id"]:
        raise Conflict(f"task {row['id']} is a schedule: create it anew")
    if not status.terminal:
        raise Conflict(f"task {row['id']} is {status}: cancel it first, or wait for its end")
    if status is TaskStatus.SUCCESS:
        raise Conflict(f"task {row['id']} has succeeded: create a new one to run it again")
    later = tasks.retried_as(db, row["id"])
    if later is not None:
        raise Conflict(f"task {row['id']} was retried already: go on with task {later}")
