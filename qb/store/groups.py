"""Groups: tasks that one fan-out made, one for each node. A task that was retried counts as its newest retry."""

import sqlite3
from dataclasses import dataclass
from typing import Any

_ADD = """
INSERT INTO task_groups (id, seq, title, each, created_at, created_by, created_by_key)
VALUES (:id, (SELECT coalesce(max(seq), 0) + 1 FROM task_groups), :title, :each, :created_at, :created_by,
    :created_by_key)
"""
_ONE = "SELECT * FROM task_groups WHERE id = :id AND (:owner IS NULL OR created_by_key = :owner)"
_PAGE = """
SELECT * FROM task_groups WHERE seq < :before AND (:owner IS NULL OR created_by_key = :owner)
ORDER BY seq DESC LIMIT :limit
"""
_COUNTS = """
SELECT t.status, count(*) FROM tasks t
WHERE t.group_id = :id AND NOT EXISTS (SELECT 1 FROM tasks r WHERE r.retry_of = t.id AND r.group_id = :id)
GROUP BY t.status
"""
_MEMBERS = """
SELECT t.id, t.status, t.reason, n.name AS target_node_name, t.progress, t.error_message
FROM tasks t JOIN placements p ON p.id = t.placement_id
LEFT JOIN nodes n ON n.id = coalesce(t.assigned_node_id, json_extract(p.target, '$[0]'))
WHERE t.group_id = :id AND NOT EXISTS (SELECT 1 FROM tasks r WHERE r.retry_of = t.id AND r.group_id = :id)
ORDER BY n.name, t.seq
"""
_UNENDED = "SELECT * FROM tasks WHERE group_id = ? AND completed_at IS NULL ORDER BY seq"


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group as its creator wants it; `each` is a glob over names of nodes."""

    id: str
    title: str | None
    each: str
    created_at: str
    created_by: str
    created_by_key: str | None


def add(db: sqlite3.Connection, new: NewGroup) -> None:
    """Begin a group."""
    db.execute(_ADD, {name: getattr(new, name) for name in NewGroup.__slots__})


def show(db: sqlite3.Connection, group_id: str, *, owner: str | None) -> dict[str, Any] | None:
    """The group with its tasks, in the shape of the contract's Group; None when there is none of the key `owner`."""
    row = db.execute(_ONE, {"id": group_id, "owner": owner}).fetchone()
    if row is None:
        return None
    return _public(db, row) | {"tasks": [dict(each) for each in db.execute(_MEMBERS, {"id": group_id})]}


def page(
    db: sqlite3.Connection, *, before: int, limit: int, owner: str | None
) -> tuple[list[dict[str, Any]], int | None]:
    """Groups before the one numbered `before`, newest first, without their tasks; and where the next page begins."""
    rows = db.execute(_PAGE, {"before": before, "limit": limit, "owner": owner}).fetchall()
    return [_public(db, row) for row in rows], rows[-1]["seq"] if len(rows) == limit else None


def unended(db: sqlite3.Connection, group_id: str) -> list[sqlite3.Row]:
    """The tasks of the group that have not ended."""
    return db.execute(_UNENDED, (group_id,)).fetchall()


def _public(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    counts = dict(db.execute(_COUNTS, {"id": row["id"]}).fetchall())
    ended = sum(counts.get(status, 0) for status in ("success", "error", "cancelled"))
    total = sum(counts.values())
    group = {key: row[key] for key in ("id", "title", "each", "created_at", "created_by")}
    return group | {"total": total, "ended": ended == total, "counts": counts}
