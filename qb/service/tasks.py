"""Tasks as operators and external systems use them: create, show, list, cancel, history."""

import sqlite3
from typing import Any, TypeVar

from qb.contract.acts import Action
from qb.contract.queries import LAST_CURSOR, TaskFilters, pair
from qb.contract.routes import Caller
from qb.contract.tasks import TaskCreate
from qb.domain.errors import Invalid, NotFound
from qb.domain.times import iso
from qb.service import audit, cancelling, creation, idempotency, retries, task_env
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.ripples import Ripples
from qb.service.waiters import Waiters
from qb.store import tasks
from qb.store.task_pages import Filters, find

T = TypeVar("T")


class Tasks:
    """Use cases about tasks."""

    def __init__(self, core: Core, waiters: Waiters) -> None:
        self._core = core
        self._waiters = waiters

    async def create(
        self, identity: Identity, body: TaskCreate, *, refusal: Invalid | None = None, task_token: str | None = None
    ) -> dict[str, Any]:
        """Add a task; returns it as Task once it is durable. Raises Invalid, naming what cannot be, and `refusal`.

        `task_token` is that of the task that asks for it. Raises Conflict where delegation goes no further.
        """
        if refusal is not None:
            raise refusal
        draft, now = self._draft(identity, body, task_token), self._core.clock()
        async with task_env.kept(self._core, draft.env_id, body.env):
            return self._tell(await self._core.writer.run(lambda db: creation.create(db, draft, now)))

    async def create_once(
        self,
        identity: Identity,
        body: TaskCreate,
        key: str,
        *,
        refusal: Invalid | None = None,
        task_token: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """As `create`, but once for each `key` of the caller; the task, and whether it was made by this call.

        Raises Conflict when the key came with another body within a day.
        """
        draft, now = self._draft(identity, body, task_token), self._core.clock()
        promise = idempotency.Promise.of(self._core.credentials, identity, key, body)

        def work(db: sqlite3.Connection) -> tuple[dict[str, Any], creation.Made | None]:
            known = idempotency.made_before(db, promise, now)
            if known is not None:
                return known, None
            if refusal is not None:
                raise refusal
            made = creation.create(db, draft, now)
            idempotency.keep(db, promise, made.task["id"], now)
            return made.task, made

        async with task_env.kept(self._core, draft.env_id, body.env):
            task, made = await self._core.writer.run(work)
        if made is not None:
            self._tell(made)
        return task, made is not None

    def _draft(self, identity: Identity, body: TaskCreate, task_token: str | None) -> creation.Draft:
        asking = self._core.credentials.identify(task_token) if task_token else None
        return creation.draft(
            body, identity, self._core.credentials, most=self._core.settings.quotas.task, asking=asking
        )

    async def retry(self, identity: Identity, task_id: str) -> dict[str, Any]:
        """Make a task like one that ended without success; returns the new Task.

        Raises NotFound, and Conflict for a task that has not ended, has succeeded, or is being retried already.
        """
        now, credentials = self._core.clock(), self._core.credentials
        await task_env.check_kept(self._core, task_id)
        return self._tell(
            await self._core.writer.run(lambda db: retries.retry(db, identity, credentials, task_id, now))
        )

    def _tell(self, made: creation.Made) -> dict[str, Any]:
        self._core.hub.publish(made.task["id"])
        if made.startable is not None:
            self._waiters.wake_one(made.startable)
        return made.task

    async def one(self, identity: Identity, task_id: str) -> dict[str, Any]:
        """The task. Raises NotFound, for a foreign one too."""
        if identity.caller is Caller.AGENT and identity.task_id != task_id:
            raise NotFound(f"no task {task_id}")
        task = await self._core.readers.run(lambda db: tasks.show(db, task_id))
        return _there(task, task_id)

    async def page(self, identity: Identity, asked: TaskFilters) -> tuple[list[dict[str, Any]], int | None]:
        """Tasks, newest first, and where the next page begins; a scoped key sees its own."""
        filters = Filters(
            status=asked.status_filter,
            node=asked.node,
            tags=tuple(pair(each) for each in asked.tag),
            key=asked.key,
            group=asked.group,
            owner=identity.owner,
            text=asked.text,
            since=iso(asked.since) if asked.since else None,
            until=iso(asked.until) if asked.until else None,
            id_prefix=asked.id_prefix,
        )
        before = LAST_CURSOR if asked.cursor is None else asked.cursor

        def read(db: sqlite3.Connection) -> tuple[list[dict[str, Any]], int | None]:
            numbers, cursor = find(db, filters, before=before, limit=asked.limit)
            return tasks.several(db, numbers), cursor

        return await self._core.readers.run(read)

    async def cancel(self, task_id: str, actor: Actor | None = None) -> dict[str, Any]:
        """Ask for the end of a task; idempotent. A pending one ends at once, a live one when its node confirms."""
        moment = self._core.clock()
        now = iso(moment)

        def work(db: sqlite3.Connection) -> tuple[dict[str, Any], Ripples]:
            ripples = Ripples()
            if cancelling.cancel(db, _there(tasks.get(db, task_id), task_id), now, ripples) and actor is not None:
                audit.note(db, actor, Action.TASK_CANCELLED, task_id, now=moment)
            return _there(tasks.show(db, task_id), task_id), ripples.resolve(db)

        task, ripples = await self._core.writer.run(work)
        ripples.tell(self._core.hub, self._waiters, [task_id])
        return task


def _there(value: T | None, task_id: str) -> T:
    if value is None:
        raise NotFound(f"no task {task_id}")
    return value
