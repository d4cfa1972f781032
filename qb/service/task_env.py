"""The environments of tasks: their values live in keys.db alone, from creation to the task's end."""

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from qb.domain.times import after, iso
from qb.service.core import Core
from qb.store import task_env as store
from qb.store import tasks

ORPHAN_SECONDS = 600.0
"""Values whose task is not there for so long belong to one that never came to be."""


@asynccontextmanager
async def kept(core: Core, task_id: str, env: Mapping[str, str] | None) -> AsyncIterator[None]:
    """Keep the values before the task is there to be claimed; they go again when the body of `async with` fails."""
    if not env:
        yield
        return
    now = iso(core.clock())
    await core.keys.run(lambda db: store.keep(db, task_id, env, now=now))
    try:
        yield
    except BaseException:
        await core.keys.run(lambda db: store.forget(db, [task_id]))
        raise


async def values_of(core: Core, task_id: str) -> dict[str, str] | None:
    """The values, for the node that gets the task; None when they are gone."""
    return await core.keys.run(lambda db: store.get(db, task_id))


async def forget_ended(core: Core) -> None:
    """Overwrite the values of tasks that have ended, or that never came to be."""
    kept_since = await core.keys.run(store.kept)
    if not kept_since:
        return
    before = after(core.clock(), -ORPHAN_SECONDS)

    def useless(db: sqlite3.Connection) -> list[str]:
        found = {task_id: tasks.over(db, task_id) for task_id in kept_since}
        return [each for each, over in found.items() if over or (over is None and kept_since[each] < before)]

    ids = await core.readers.run(useless)
    if ids:
        await core.keys.run(lambda db: store.forget(db, ids))
