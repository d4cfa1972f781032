"""The registry of nodes."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from qb.domain.placement import Traits

_COLUMNS = (
    "id name hostname os_type mode api_endpoint status state capabilities tags wire generation runner_version arch "
    "slots limits boot_id load disk_free current_task_id dispatch address ansible "
    "key_version token_id created_at registered_at last_seen_at"
).split()
_INSERT = f"INSERT INTO nodes ({', '.join(_COLUMNS)}) VALUES ({', '.join(':' + c for c in _COLUMNS)}) RETURNING *"  # noqa: S608
_DEFAULTS = {"dispatch": "http", "ansible": "{}"}
_BY_ID = "SELECT * FROM nodes WHERE id = ?"
_BY_NAME = "SELECT * FROM nodes WHERE name = ?"
_ALL = "SELECT * FROM nodes ORDER BY name"
_PAGE = "SELECT * FROM nodes WHERE name > ? ORDER BY name LIMIT ?"
_HEARTBEAT = """
UPDATE nodes SET status = ?, current_task_id = ?, load = ?, disk_free = ?, last_seen_at = ? WHERE id = ? RETURNING *
"""
_SEEN = "UPDATE nodes SET last_seen_at = ?, status = iif(status = 'offline', 'idle', status) WHERE id = ?"
_RESTS = "UPDATE nodes SET status = 'idle', current_task_id = NULL WHERE id = ? AND status = 'busy'"
_LET_GO = """
UPDATE nodes SET current_task_id = held.id, status = iif(held.id IS NULL AND status = 'busy', 'idle', status)
FROM (SELECT (SELECT id FROM tasks INDEXED BY tasks_held
    WHERE assigned_node_id = :node_id AND lease_expires_at IS NOT NULL LIMIT 1) AS id) AS held
WHERE nodes.id = :node_id AND current_task_id = :task_id
"""
_OFFLINE = "UPDATE nodes SET status = 'offline' WHERE id = ? AND status != 'offline'"
_REMOVE = "DELETE FROM nodes WHERE id = ?"
_COUNTS = "SELECT status, count(*) FROM nodes GROUP BY status"
_PRIVATE = frozenset({"key_version", "oldest_key", "old_keys_until", "token_id", "poll_interval"})


def insert(db: sqlite3.Connection, node: dict[str, Any]) -> sqlite3.Row:
    """Add a node; `node` has every column."""
    row: sqlite3.Row = db.execute(_INSERT, {**dict.fromkeys(_COLUMNS), **_DEFAULTS, **_stored(node)}).fetchone()
    return row


def update(db: sqlite3.Connection, node_id: str, changes: dict[str, Any]) -> sqlite3.Row:
    """Change columns of a node, named by our own code alone."""
    columns = ", ".join(f"{column} = :{column}" for column in changes)
    statement = f"UPDATE nodes SET {columns} WHERE id = :node_id RETURNING *"  # noqa: S608
    row: sqlite3.Row = db.execute(statement, {**_stored(changes), "node_id": node_id}).fetchone()
    return row


def by_id(db: sqlite3.Connection, node_id: str) -> sqlite3.Row | None:
    """The node, or None."""
    row: sqlite3.Row | None = db.execute(_BY_ID, (node_id,)).fetchone()
    return row


def by_name(db: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    """The node of that name, or None."""
    row: sqlite3.Row | None = db.execute(_BY_NAME, (name,)).fetchone()
    return row


def every(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """All nodes by name."""
    return db.execute(_ALL).fetchall()


def page(db: sqlite3.Connection, *, after: str, limit: int) -> list[sqlite3.Row]:
    """Nodes by name, those after the name `after`."""
    return db.execute(_PAGE, (after, limit)).fetchall()


def heartbeat(
    db: sqlite3.Connection,
    node_id: str,
    *,
    status: str,
    task_id: str | None,
    load: float | None,
    disk_free: int | None,
    now: str,
) -> sqlite3.Row | None:
    """Note what the node says of itself; None when it is not registered any more."""
    row: sqlite3.Row | None = db.execute(_HEARTBEAT, (status, task_id, load, disk_free, now, node_id)).fetchone()
    return row


def seen(db: sqlite3.Connection, when: Iterable[tuple[str, str]]) -> None:
    """Note when nodes spoke last: pairs of time and node id."""
    db.executemany(_SEEN, when)


def rests(db: sqlite3.Connection, node_id: str) -> None:
    """Note that a node is not busy any more."""
    db.execute(_RESTS, (node_id,))


def let_go(db: sqlite3.Connection, node_id: str, task_id: str) -> None:
    """Note that the task a node was busy with is over there: it shows another that it holds, or is idle."""
    db.execute(_LET_GO, {"node_id": node_id, "task_id": task_id})


def offline(db: sqlite3.Connection, node_ids: Iterable[str]) -> None:
    """Mark nodes as silent for too long."""
    db.executemany(_OFFLINE, ((node_id,) for node_id in node_ids))


def remove(db: sqlite3.Connection, node_id: str) -> None:
    """Forget the node; the attempts that it ran keep its name."""
    db.execute(_REMOVE, (node_id,))


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """How many nodes have each status."""
    return dict(db.execute(_COUNTS).fetchall())


def public(row: sqlite3.Row) -> dict[str, Any]:
    """The node in the shape of the contract's Node."""
    # A Row compares every name to find one, so each is read but once: every heartbeat comes here.
    node = dict(zip(row.keys(), row, strict=True))
    for private in _PRIVATE:
        del node[private]
    for column, nothing, empty in (("capabilities", "[]", list), ("tags", "{}", dict), ("ansible", "{}", dict)):
        text = node[column]
        node[column] = empty() if text == nothing else json.loads(text)
    node["limits"] = bool(node["limits"])
    node["takeover_allowed"] = bool(node["takeover_allowed"])
    return node


def traits(row: sqlite3.Row) -> Traits:
    """What the node offers to a target."""
    return Traits(
        row["id"],
        row["name"],
        json.loads(row["tags"]),
        frozenset(json.loads(row["capabilities"])),
        bool(row["limits"]),
    )


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
        for key, value in values.items()
    }
