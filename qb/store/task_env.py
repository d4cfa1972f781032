"""The environments of tasks, in keys.db: values that neither qb.db nor the dashboard may hold.

Tasks name theirs by an id of its own: those of a group, the runs of a schedule and a retry share one.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping

_KEEP = "INSERT INTO task_env (id, env, kept_at) VALUES (?, ?, ?)"
_GET = "SELECT env FROM task_env WHERE id = ?"
_KEPT = "SELECT id, kept_at FROM task_env"
_FORGET = "DELETE FROM task_env WHERE id = ?"


def keep(db: sqlite3.Connection, env_id: str, env: Mapping[str, str], *, now: str) -> None:
    """Keep an environment until the tasks that name it have ended."""
    db.execute(_KEEP, (env_id, json.dumps(dict(env)), now))


def get(db: sqlite3.Connection, env_id: str) -> dict[str, str] | None:
    """The environment, or None."""
    row = db.execute(_GET, (env_id,)).fetchone()
    return None if row is None else json.loads(row[0])


def kept(db: sqlite3.Connection) -> dict[str, str]:
    """Since when which environment is kept."""
    return {row["id"]: row["kept_at"] for row in db.execute(_KEPT)}


def forget(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Overwrite what was kept under these ids."""
    db.executemany(_FORGET, ((env_id,) for env_id in ids))
