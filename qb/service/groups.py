"""Groups: one task for each node that matches a glob, made, looked at and cancelled together."""

import sqlite3
import uuid
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from qb.contract.acts import Action
from qb.contract.scheduling import MAX_GROUP
from qb.contract.states import NodeState
from qb.contract.tasks import GroupCreate
from qb.domain.errors import Invalid, NotFound
from qb.domain.placement import Target, matches
from qb.domain.times import iso
from qb.service import audit, cancelling, creation, task_env
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.ripples import Ripples
from qb.service.waiters import Waiters
from qb.store import groups, nodes, placements


class Groups:
    """Use cases about groups."""

    def __init__(self, core: Core, waiters: Waiters) -> None:
        self._core = core
        self._waiters = waiters

    async def create(self, identity: Identity, body: GroupCreate) -> dict[str, Any]:
        """Make one task for each node; returns Group. Raises Invalid, for a glob that no node matches too."""
        if body.recurrence is not None or body.depends_on:
            field = "recurrence" if body.recurrence is not None else "depends_on"
            raise Invalid(f"{field}: a group starts at once or at scheduled_for; leave it out")
        if body.parent_task_id is not None:
            raise Invalid("parent_task_id: a task asks for others one by one, as POST /tasks; leave it out")
        asked = creation.draft(body, identity, self._core.credentials, most=self._core.settings.quotas.task)
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            group_id = fan_out(db, asked, body.each, now)
            return _there(groups.show(db, group_id, owner=None), group_id)

        async with task_env.kept(self._core, asked.env_id, body.env):
            made = await self._core.writer.run(work)
        self._waiters.wake_all(await self._core.readers.run(placements.waiting))
        return made

    async def page(self, identity: Identity, *, before: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Groups, newest first, without their tasks; and where the next page begins."""
        owner = identity.owner
        return await self._core.readers.run(lambda db: groups.page(db, before=before, limit=limit, owner=owner))

    async def one(self, identity: Identity, group_id: str) -> dict[str, Any]:
        """The group with its tasks. Raises NotFound, for a foreign one too."""
        owner = identity.owner
        return _there(await self._core.readers.run(lambda db: groups.show(db, group_id, owner=owner)), group_id)

    async def cancel(self, actor: Actor, group_id: str) -> dict[str, Any]:
        """Ask for the end of every task of the group; idempotent. Raises NotFound, for a foreign one too."""
        moment, owner = self._core.clock(), actor.identity.owner
        now = iso(moment)

        def work(db: sqlite3.Connection) -> tuple[dict[str, Any], Ripples]:
            _there(groups.show(db, group_id, owner=owner), group_id)
            ripples = Ripples()
            for row in groups.unended(db, group_id):
                if cancelling.cancel(db, row, now, ripples):
                    audit.note(db, actor, Action.TASK_CANCELLED, row["id"], now=moment, detail={"group": group_id})
                ripples.changed.append(row["id"])
            return _there(groups.show(db, group_id, owner=owner), group_id), ripples.resolve(db)

        group, ripples = await self._core.writer.run(work)
        ripples.tell(self._core.hub, self._waiters)
        return group


def fan_out(db: sqlite3.Connection, asked: creation.Draft, each: str, now: datetime) -> str:
    """Make the task for each node that matches `each` and its target; returns the id of the group.

    Silent and draining nodes count: their tasks wait for them. Raises Invalid when no node matches, or too many do.
    """
    chosen = _chosen(db, asked.target, each)
    attached, limit = creation.attachments(db, asked), creation.limited_by(db, asked)
    group_id = str(uuid.uuid4())
    by = asked.identity
    groups.add(db, groups.NewGroup(group_id, asked.body.title, each, iso(now), by.name, by.key_id))
    for node_id in chosen:
        line = placements.ensure(db, replace(asked.target, node_id=node_id))
        new = replace(creation.as_new(asked, line, now, limit), group_id=group_id)
        creation.add(db, new, attached, {"group_id": group_id})
    return group_id


def _chosen(db: sqlite3.Connection, target: Target, each: str) -> list[str]:
    rows = [row for row in nodes.every(db) if row["state"] != NodeState.DISABLED and fnmatchcase(row["name"], each)]
    chosen = [row["id"] for row in rows if matches(target, nodes.traits(row))]
    if not chosen:
        more = f", and none of the {len(rows)} whose name fits meets the other conditions" if rows else ""
        raise Invalid(f"each: no node matches {each!r}{more}; `qb node list` shows the names there are")
    if len(chosen) > MAX_GROUP:
        raise Invalid(f"each: {len(chosen)} nodes match {each!r}; at most {MAX_GROUP} fit one group")
    return chosen


def _there(group: dict[str, Any] | None, group_id: str) -> dict[str, Any]:
    if group is None:
        raise NotFound(f"no group {group_id}")
    return group
