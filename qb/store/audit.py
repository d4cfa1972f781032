"""The audit log: appended to, read from the newest back, never changed but for the count of a line."""

import json
import sqlite3
from typing import Any

from qb.contract.acts import Action, Outcome

_ADD = """
INSERT INTO audit_log (at, actor, actor_id, action, object, outcome, address, count, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COUNT = "UPDATE audit_log SET count = ? WHERE id = ?"
_PAGE = """
SELECT * FROM audit_log
WHERE id < :before AND (:action IS NULL OR action = :action) ORDER BY id DESC LIMIT :limit
"""


def add(
    db: sqlite3.Connection,
    *,
    at: str,
    actor: str,
    actor_id: str | None,
    action: Action,
    object_id: str | None,
    outcome: Outcome,
    address: str | None,
    count: int = 1,
    detail: dict[str, Any] | None = None,
) -> int:
    """Write a line; returns its id."""
    said = json.dumps(detail, ensure_ascii=False) if detail else None
    row = db.execute(_ADD, (at, actor, actor_id, action, object_id, outcome, address, count, said))
    assert row.lastrowid is not None  # noqa: S101 - an INSERT has one
    return row.lastrowid


def count(db: sqlite3.Connection, entry_id: int, times: int) -> None:
    """It has happened `times` times by now."""
    db.execute(_COUNT, (times, entry_id))


def page(db: sqlite3.Connection, *, before: int, limit: int, action: Action | None = None) -> list[dict[str, Any]]:
    """Lines before the one numbered `before`, newest first, in the shape of AuditEntry."""
    rows = db.execute(_PAGE, {"before": before, "limit": limit, "action": action})
    return [{**dict(row), "detail": json.loads(row["detail"]) if row["detail"] else None} for row in rows]
