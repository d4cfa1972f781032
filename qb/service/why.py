"""Why a pending task is not running: the facts are read here, the words are qb.domain.waiting's."""

import sqlite3
from dataclasses import replace
from datetime import datetime
from typing import Any

from qb.contract.routes import Caller
from qb.contract.states import NodeState, TaskStatus
from qb.domain import waiting
from qb.domain.epochs import SETTLE
from qb.domain.errors import NotFound
from qb.domain.placement import Target, matches
from qb.domain.times import after, parse
from qb.domain.waiting import Candidate, Facts
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Registry
from qb.store import claims, dependencies, epochs, key_limits, nodes, placements, schedules, tasks


async def why(core: Core, registry: Registry, identity: Identity, task_id: str) -> dict[str, Any]:
    """What keeps the task from running, in the shape of Why. Raises NotFound.

    A scoped key hears of the nodes that it may use, and not which tasks of others they hold.
    """
    now = core.clock()
    owner = identity.key_id if identity.caller is Caller.SCOPED else None
    usable = Target().narrowed(within=identity.node_patterns, tags=dict(identity.node_tags))

    def read(db: sqlite3.Connection) -> Facts:
        row = tasks.get(db, task_id)
        if row is None:
            raise NotFound(f"no task {task_id}")
        rows = [each for each in nodes.every(db) if matches(usable, nodes.traits(each))]
        facts = _facts(db, row, [_candidate(db, each, registry, now, owner) for each in rows])
        return replace(facts, key_tags=core.credentials.tags_of(row["created_by_key"]), limits=usable)

    facts = await core.readers.run(read)
    causes = [{"code": code, "text": text} for code, text in waiting.causes(facts)]
    return {"task_id": task_id, "status": facts.status, "causes": causes}


def _facts(db: sqlite3.Connection, row: sqlite3.Row, candidates: list[Candidate]) -> Facts:
    status = TaskStatus(row["status"])
    target = placements.target_of(db, row["placement_id"])
    if status is not TaskStatus.PENDING:
        return Facts(status, reason=row["reason"], node=_name(db, row["assigned_node_id"]))
    schedule = schedules.show(db, row["id"])
    if schedule is not None:
        return Facts(status, next_run_at=schedule["next_run_at"], is_schedule=True)
    return Facts(
        status,
        target,
        starts=row["starts"],
        available_at=row["available_at"],
        waits_for=[(other["id"], TaskStatus(other["status"])) for other in dependencies.unfinished(db, row["id"])],
        settles_until=after(parse(opened), SETTLE) if (opened := epochs.opened_at(db)) else None,
        key=row["created_by"],
        key_limit=_key_limit(db, row),
        candidates=candidates,
    )


def _key_limit(db: sqlite3.Connection, row: sqlite3.Row) -> tuple[int, list[str]] | None:
    """How many tasks its key runs at once, and which do, when there is no room for this one."""
    key = row["limited_by"]
    if key is None:
        return None
    limit, running = key_limits.limit(db, key), key_limits.running(db, key)
    return (limit, running) if len(running) >= limit else None


def _candidate(
    db: sqlite3.Connection, row: sqlite3.Row, registry: Registry, now: datetime, owner: str | None
) -> Candidate:
    member = registry.members.get(row["id"])
    silent = member is None or member.offline or member.silent(now)
    return Candidate(
        traits=nodes.traits(row),
        wire=row["wire"],
        state=NodeState(row["state"]),
        silent_since=row["last_seen_at"] or row["created_at"] if silent else None,
        slots=row["slots"] if row["wire"] >= 2 else 1,
        holds=[_told(db, held["id"], owner) for held in claims.held(db, row["id"])],
    )


def _told(db: sqlite3.Connection, task_id: str, owner: str | None) -> str:
    row = tasks.get(db, task_id) if owner is not None else None
    return "a task of another key" if row is not None and row["created_by_key"] != owner else task_id


def _name(db: sqlite3.Connection, node_id: str | None) -> str | None:
    row = nodes.by_id(db, node_id) if node_id else None
    return row["name"] if row is not None else node_id
