"""The environments of tasks, in keys.db: values that neither qb.db nor the dashboard may hold."""

import json
import sqlite3
from collections.abc import Iterable, Mapping

_KEEP = "INSERT INTO task_env (task_id, env, kept_at) VALUES (?, ?, ?)"
_GET = "SELECT env FROM task_env WHERE task_id = ?"
_TASKS = "SELECT task_id, kept_at FROM task_env"
_FORGET = "DELETE FROM task_env WHERE task_id = ?"


def keep(db: sqlite3.Connection, task_id: str, env: Mapping[str, str], *, now: str) -> None:
    """Keep a task's environment until the task has ended."""
    db.execute(_KEEP, (task_id, json.dumps(dict(env)), now))


def get(db: sqlite3.Connection, task_id: str) -> dict[str, str] | None:
    """The task's environment, or None."""
    row = db.execute(_GET, (task_id,)).fetchone()
    return None if row is None else json.loads(row[0])


def kept(db: sqlite3.Connection) -> dict[str, str]:
    """Since when which task's environment is kept."""
    return {row["task_id"]: row["kept_at"] for row in db.execute(_TASKS)}


def forget(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Overwrite what was kept for these tasks."""
    db.executemany(_FORGET, ((task_id,) for task_id in ids))
