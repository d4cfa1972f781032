"""Claims, leases and what a node holds: the statements that decide who runs what."""

import json
import sqlite3
from typing import Any

from qb.store import key_limits

# The index is named wherever the planner might take that of all the node has ever had.
_HELD = """
SELECT id, attempt, status, deliveries, acknowledged, cancel_requested_at, starts, max_attempts
FROM tasks INDEXED BY tasks_held
WHERE assigned_node_id = ? AND lease_expires_at IS NOT NULL
"""
# What its creator decided comes in the same statement: each one more costs a claim a tenth. The casts are for SQLite
# before 3.41, which otherwise scans: there, a column of a rowid table has lost its affinity in a RETURNING clause.
_RETURNING = """
RETURNING id, attempt, timeout_seconds, limited_by, placement_id,
    (SELECT prompt FROM task_specs WHERE task_id = CAST(tasks.id AS TEXT)) AS prompt,
    (SELECT image FROM task_specs WHERE task_id = CAST(tasks.id AS TEXT)) AS image,
    (SELECT env_id FROM task_specs WHERE task_id = CAST(tasks.id AS TEXT)) AS env_id,
    (SELECT limits FROM task_specs WHERE task_id = CAST(tasks.id AS TEXT)) AS limits,
    (SELECT json_group_array(json_array(name, checksum)) FROM
        (SELECT name, checksum FROM task_files WHERE task_id = CAST(tasks.id AS TEXT) ORDER BY position)) AS files
"""
_CLAIM = (
    """
UPDATE tasks SET
    status = 'assigned', claimable = 0, attempt = max(attempt, :floor) + 1, starts = starts + :counts_start,
    deliveries = 1, acknowledged = 0, assigned_node_id = :node_id, assigned_at = :now, lease_expires_at = :lease,
    progress = NULL, message = NULL, agent_status = NULL, exit_code = NULL
WHERE seq = (
    SELECT head.seq FROM placement_nodes served CROSS JOIN tasks head ON head.seq = (
        SELECT seq FROM tasks INDEXED BY tasks_claimable
        WHERE placement_id = served.placement_id AND claimable = 1 ORDER BY priority DESC, seq LIMIT 1)
    WHERE served.node_id = :node_id ORDER BY head.priority DESC, head.seq LIMIT 1
) AND EXISTS (SELECT 1 FROM nodes WHERE id = :node_id AND state = 'active')
"""  # noqa: S608
    + _RETURNING
)
_ATTEMPT = "INSERT INTO attempts (task_id, attempt, node_id, node_name, claimed_at) VALUES (?, ?, ?, ?, ?)"
_REDELIVER = (
    """
UPDATE tasks SET deliveries = deliveries + 1, lease_expires_at = ? WHERE id = ? AND attempt = ? AND status = 'assigned'
"""
    + _RETURNING
)
_RENEW = """
UPDATE tasks SET lease_expires_at = ?, acknowledged = 1
WHERE id = ? AND attempt = ? AND lease_expires_at IS NOT NULL
"""
_RENEW_ALL = """
UPDATE tasks INDEXED BY tasks_held SET lease_expires_at = ?, acknowledged = 1
WHERE assigned_node_id = ? AND lease_expires_at IS NOT NULL
"""
_FULL_TERM = """
UPDATE tasks SET lease_expires_at = iif(
    (SELECT wire FROM nodes WHERE nodes.id = assigned_node_id) >= 2, :lease, :old_lease)
WHERE lease_expires_at IS NOT NULL
"""
_EVER = "SELECT 1 FROM attempts WHERE task_id = ? AND attempt = ? AND node_id = ?"
_LAST = "SELECT max(attempt) FROM attempts WHERE task_id = ? AND node_id = ?"
_EXPIRED = """
SELECT t.*, coalesce(n.wire, 1) AS wire, n.mode FROM tasks t LEFT JOIN nodes n ON n.id = t.assigned_node_id
WHERE t.lease_expires_at <= ? ORDER BY t.lease_expires_at LIMIT ?
"""
_OVERDUE = "SELECT * FROM tasks WHERE deadline_at <= ? AND lease_expires_at IS NOT NULL LIMIT ?"
_UNCONFIRMED = """
SELECT t.* FROM tasks t LEFT JOIN nodes n ON n.id = t.assigned_node_id
WHERE t.lease_expires_at IS NOT NULL AND t.cancel_requested_at <= ? AND coalesce(n.wire, 1) < 2 LIMIT ?
"""
_DUE = "SELECT id, limited_by, placement_id FROM tasks WHERE available_at <= ? ORDER BY available_at LIMIT ?"
_RELEASE_DUE = """
UPDATE tasks SET claimable = (waits_for = 0 AND limited_by IS NULL), available_at = NULL
WHERE id = ? AND status = 'pending'
"""


def held(db: sqlite3.Connection, node_id: str) -> list[sqlite3.Row]:
    """What the node holds: usually nothing or one row."""
    return db.execute(_HELD, (node_id,)).fetchall()


def claim(
    db: sqlite3.Connection,
    *,
    node_id: str,
    node_name: str,
    now: str,
    lease: str,
    counts_start: bool,
    floor: int = 0,
) -> sqlite3.Row | None:
    """Take the first task that the node may run, or None.

    `counts_start`: the node may start it unasked. The attempt gets a number above `floor` (qb.domain.epochs).
    """
    values = {"node_id": node_id, "now": now, "lease": lease, "counts_start": counts_start, "floor": floor}
    rows = db.execute(_CLAIM, values).fetchall()
    if not rows:
        return None
    row: sqlite3.Row = rows[0]
    add_attempt(db, row["id"], row["attempt"], node_id=node_id, node_name=node_name, now=now)
    if row["limited_by"] is not None:
        key_limits.taken(db, row["limited_by"], row["placement_id"])
    return row


def add_attempt(db: sqlite3.Connection, task_id: str, attempt: int, *, node_id: str, node_name: str, now: str) -> None:
    """Write down who has which attempt."""
    db.execute(_ATTEMPT, (task_id, attempt, node_id, node_name, now))


def redeliver(db: sqlite3.Connection, task_id: str, attempt: int, *, lease: str) -> sqlite3.Row | None:
    """Hand the same attempt over once more."""
    rows = db.execute(_REDELIVER, (lease, task_id, attempt)).fetchall()
    return rows[0] if rows else None


def payload(row: sqlite3.Row) -> dict[str, Any]:
    """The part of an assignment that the task's creator decided, of a row that `claim` or `redeliver` gave.

    Of `env` it holds the id: qb.service.task_env puts the values in.
    """
    files = json.loads(row["files"])
    return {
        "prompt": row["prompt"],
        "image": row["image"],
        "env": row["env_id"],
        "limits": json.loads(row["limits"]) if row["limits"] else None,
        "files": [name for name, _ in files],
        "file_checksums": [checksum for _, checksum in files],
    }


def renew(db: sqlite3.Connection, task_id: str, attempt: int, *, lease: str) -> None:
    """Acknowledge and prolong one attempt's lease."""
    db.execute(_RENEW, (lease, task_id, attempt))


def renew_all(db: sqlite3.Connection, node_id: str, *, lease: str) -> None:
    """Prolong every lease that the node holds."""
    db.execute(_RENEW_ALL, (lease, node_id))


def full_term(db: sqlite3.Connection, *, lease: str, old_lease: str) -> None:
    """Give every live lease its full term: the server was away, not the nodes."""
    db.execute(_FULL_TERM, {"lease": lease, "old_lease": old_lease})


def ever_held(db: sqlite3.Connection, task_id: str, attempt: int, node_id: str) -> bool:
    """Whether the node was given this attempt."""
    return db.execute(_EVER, (task_id, attempt, node_id)).fetchone() is not None


def last_held(db: sqlite3.Connection, task_id: str, node_id: str) -> int | None:
    """The newest attempt of the task that the node was given, or None."""
    found: int | None = db.execute(_LAST, (task_id, node_id)).fetchone()[0]
    return found


def expired(db: sqlite3.Connection, *, now: str, limit: int) -> list[sqlite3.Row]:
    """Tasks whose lease has run out, with `wire` and `mode` of their node."""
    return db.execute(_EXPIRED, (now, limit)).fetchall()


def overdue(db: sqlite3.Connection, *, now: str, limit: int) -> list[sqlite3.Row]:
    """Tasks past the server's own deadline."""
    return db.execute(_OVERDUE, (now, limit)).fetchall()


def unconfirmed(db: sqlite3.Connection, *, before: str, limit: int) -> list[sqlite3.Row]:
    """Tasks cancelled before `before` on nodes that cannot prove the container gone."""
    return db.execute(_UNCONFIRMED, (before, limit)).fetchall()


def due(db: sqlite3.Connection, *, now: str, limit: int) -> list[sqlite3.Row]:
    """Tasks that wait for a time which has come."""
    return db.execute(_DUE, (now, limit)).fetchall()


def make_due(db: sqlite3.Connection, *, now: str, limit: int) -> None:
    """Let tasks be claimed whose time has come."""
    rows = due(db, now=now, limit=limit)
    db.executemany(_RELEASE_DUE, [(row["id"],) for row in rows])
    for row in rows:
        if row["limited_by"] is not None:
            key_limits.offer(db, row["limited_by"], row["placement_id"])
