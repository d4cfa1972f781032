"""Runs of playbooks: appended, and read from the newest back."""

import json
import sqlite3
from typing import Any

_ADD = """
INSERT INTO provision_runs (id, seq, playbook, limited_to, checked, outcome, message, started_at, ended_at,
    recorded_at, actor, actor_id, hosts)
VALUES (:id, (SELECT coalesce(max(seq), 0) + 1 FROM provision_runs), :playbook, :limit, :check, :outcome, :message,
    :started_at, :ended_at, :recorded_at, :actor, :actor_id, :hosts)
RETURNING *
"""
_ONE = "SELECT * FROM provision_runs WHERE id = ?"
_PAGE = "SELECT * FROM provision_runs WHERE seq < ? ORDER BY seq DESC LIMIT ?"


def add(db: sqlite3.Connection, run: dict[str, Any]) -> dict[str, Any]:
    """Keep a run; returns it in the shape of ProvisionRun."""
    row: sqlite3.Row = db.execute(_ADD, run | {"hosts": json.dumps(run["hosts"], ensure_ascii=False)}).fetchone()
    return _shown(row)


def one(db: sqlite3.Connection, run_id: str) -> dict[str, Any] | None:
    """A run in the shape of ProvisionRun, or None."""
    row: sqlite3.Row | None = db.execute(_ONE, (run_id,)).fetchone()
    return None if row is None else _shown(row)


def page(db: sqlite3.Connection, *, before: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Runs before the one numbered `before`, newest first; and where the next page begins."""
    rows = db.execute(_PAGE, (before, limit)).fetchall()
    return [_shown(row) for row in rows], rows[-1]["seq"] if len(rows) == limit else None


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    run = dict(row)
    for private in ("seq", "actor_id"):
        del run[private]
    return run | {
        "limit": run.pop("limited_to"),
        "check": bool(run.pop("checked")),
        "hosts": json.loads(run["hosts"]),
    }
