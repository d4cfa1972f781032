"""The environments of tasks: their values live in keys.db alone, until the last task that has them has ended."""

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from qb.domain.errors import Conflict
from qb.domain.times import after, iso
from qb.service.core import Core
from qb.store import task_env as store
from qb.store import tasks

ORPHAN_SECONDS = 600.0
"""Values that no task has named for so long belong to one that never came to be."""


@asynccontextmanager
async def kept(core: Core, env_id: str | None, env: Mapping[str, str] | None) -> AsyncIterator[None]:
    """Keep the values before a task is there to be claimed; they go again when the body of `async with` fails."""
    if env_id is None or not env:
        yield
        return
    now = iso(core.clock())
    await core.keys.run(lambda db: store.keep(db, env_id, env, now=now))
    try:
        yield
    except BaseException:
        await core.keys.run(lambda db: store.forget(db, [env_id]))
        raise


async def fill(core: Core, assignment: dict[str, Any]) -> bool:
    """Put the values into an assignment in place of their id; False when they are gone."""
    env_id = assignment["env"]
    if env_id is not None:
        assignment["env"] = await core.keys.run(lambda db: store.get(db, env_id))
    return env_id is None or assignment["env"] is not None


async def check_kept(core: Core, task_id: str) -> None:
    """Refuse to run a task again whose values are gone. Raises Conflict."""
    env_id = await core.readers.run(lambda db: tasks.env_id(db, task_id))
    if env_id is not None and await core.keys.run(lambda db: store.get(db, env_id)) is None:
        raise Conflict(f"the environment of task {task_id} was forgotten when it ended: create the task anew")


async def forget_ended(core: Core) -> None:
    """Overwrite the values of tasks that have all ended, or that never came to be."""
    kept_since = await core.keys.run(store.kept)
    if not kept_since:
        return
    before = after(core.clock(), -ORPHAN_SECONDS)

    def useless(db: sqlite3.Connection) -> list[str]:
        found = {env_id: tasks.env_over(db, env_id) for env_id in kept_since}
        return [each for each, over in found.items() if over or (over is None and kept_since[each] < before)]

    ids = await core.readers.run(useless)
    if ids:
        await core.keys.run(lambda db: store.forget(db, ids))
