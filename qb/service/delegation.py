"""Tasks that other tasks ask for: where such a one stands, if it may be made at all."""

import sqlite3
from dataclasses import dataclass

from qb.contract.delegation import MAX_DEPTH, MAX_TASKS
from qb.contract.states import TaskStatus
from qb.contract.tasks import TaskCreate
from qb.domain.delegation import loop
from qb.domain.errors import Conflict, Invalid
from qb.service.credentials import Identity
from qb.store import delegation, tasks


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task stands below the one that an operator asked for; `depth` counts those above it."""

    parent_task_id: str | None = None
    root_task_id: str | None = None
    depth: int = 0


def parent_of(body: TaskCreate, asking: Identity | None) -> str | None:
    """Which task asks: the one whose token came along, else the one that is named. Raises Invalid."""
    token = None if asking is None else asking.task_id
    if asking is not None and token is None:
        raise Invalid("X-Task-Token: this is no task's token: send what the task has as NODE_API_KEY, or leave it out")
    if token is not None and body.parent_task_id not in (None, token):
        raise Invalid(f"parent_task_id: is {body.parent_task_id}, but X-Task-Token is that of task {token}")
    parent = token or body.parent_task_id
    if parent is not None and body.recurrence is not None:
        raise Invalid("recurrence: a task cannot ask for a schedule; leave recurrence or parent_task_id out")
    if parent is None and (body.max_depth is not None or body.max_tasks is not None):
        field = "max_depth" if body.max_depth is not None else "max_tasks"
        raise Invalid(f"{field}: limits what a task asks for; say which one as parent_task_id, or leave it out")
    return parent


def place(db: sqlite3.Connection, body: TaskCreate, parent: str | None, identity: Identity, *, vouched: bool) -> Place:
    """Where the task will stand; `vouched`: the parent's own token came along, so its creator's key doesn't matter.

    Raises Invalid for a parent that the caller may not know of, Conflict where delegation goes no further.
    """
    if parent is None:
        return Place()
    row = tasks.get(db, parent)
    owner = None if vouched else identity.owner
    if row is None or (owner is not None and row["created_by_key"] != owner):
        raise Invalid(f"parent_task_id: no task {parent}; an agent sends its own token along as X-Task-Token")
    if not TaskStatus(row["status"]).live:
        raise Conflict(f"parent_task_id: task {parent} is {row['status']}: only a running task asks for others")
    found = Place(parent, row["root_task_id"] or parent, row["depth"] + 1)
    _check_depth(found.depth, body.max_depth or MAX_DEPTH)
    check_budget(db, found.root_task_id, body.max_tasks or MAX_TASKS)
    _check_loop(db, body, parent)
    return found


def check_budget(db: sqlite3.Connection, root_task_id: str | None, most: int = MAX_TASKS) -> None:
    """Raises Conflict when a task and those below it have asked for so many already; None has asked for nothing."""
    if root_task_id is not None and delegation.below(db, root_task_id) >= most:
        raise Conflict(
            f"task {root_task_id} and those below it have asked for {most} tasks, which is the limit: "
            "finish with what there is, or let an operator create the task"
        )


def _check_depth(depth: int, most: int) -> None:
    if depth > most:
        raise Conflict(
            f"this task would stand {depth} levels below the one that an operator asked for, and {most} is the limit: "
            "do the work in this task, or report what is missing"
        )


def _check_loop(db: sqlite3.Connection, body: TaskCreate, parent: str) -> None:
    above = delegation.line(db, parent)
    same = loop(body.prompt, above)
    if same is not None:
        raise Conflict(
            f"this is a loop: task {same.id}, above this one, has the same prompt; ask for a part of the work instead"
        )
    for awaited in body.depends_on or ():
        if any(each.id == awaited for each in above):
            raise Conflict(f"depends_on: task {awaited} asks for this one, so each would wait for the other")
