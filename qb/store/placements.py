"""Lines of waiting tasks: tasks with equal targets share a placement, and `placement_nodes` says who may take them.

A claim so looks only at the head of each line that its node may serve, however many tasks wait for others.
"""

import sqlite3

from qb.domain.placement import Target, Traits, matches
from qb.store import nodes

_FIND = "SELECT id FROM placements WHERE target = ?"
_ADD = "INSERT INTO placements (target) VALUES (?)"
_TARGET = "SELECT target FROM placements WHERE id = ?"
_ALL = "SELECT id, target FROM placements"
_LINK = "INSERT OR IGNORE INTO placement_nodes (node_id, placement_id) VALUES (?, ?)"
_UNLINK_NODE = "DELETE FROM placement_nodes WHERE node_id = ?"
_WAITING = """
SELECT p.target FROM placements p
WHERE EXISTS (SELECT 1 FROM tasks t WHERE t.placement_id = p.id AND t.claimable = 1)
"""
_EMPTY = """
SELECT p.id FROM placements p
WHERE NOT EXISTS (SELECT 1 FROM tasks t INDEXED BY tasks_by_placement WHERE t.placement_id = p.id) LIMIT ?
"""


def ensure(db: sqlite3.Connection, target: Target) -> int:
    """The id of the line for `target`; a new line is linked to every node that may serve it."""
    found = db.execute(_FIND, (target.key,)).fetchone()
    if found is not None:
        return int(found[0])
    placement_id = db.execute(_ADD, (target.key,)).lastrowid
    assert placement_id is not None  # noqa: S101
    db.executemany(_LINK, ((node_id, placement_id) for node_id in _candidates(db, target)))
    return placement_id


def target_of(db: sqlite3.Connection, placement_id: int) -> Target:
    """The target that the line stands for."""
    return Target.from_key(db.execute(_TARGET, (placement_id,)).fetchone()[0])


def link_node(db: sqlite3.Connection, node: Traits) -> None:
    """Link a new or changed node to the lines that it may serve, and to no others."""
    db.execute(_UNLINK_NODE, (node.node_id,))
    served = [row["id"] for row in db.execute(_ALL) if matches(Target.from_key(row["target"]), node)]
    db.executemany(_LINK, ((node.node_id, placement_id) for placement_id in served))


def unlink_node(db: sqlite3.Connection, node_id: str) -> None:
    """Link the node to no line any more."""
    db.execute(_UNLINK_NODE, (node_id,))


def waiting(db: sqlite3.Connection) -> list[Target]:
    """The targets of every line in which a task may be claimed."""
    return [Target.from_key(row[0]) for row in db.execute(_WAITING)]


def _candidates(db: sqlite3.Connection, target: Target) -> list[str]:
    if target.node_id is not None:
        rows = [nodes.by_id(db, target.node_id)]
    elif target.exact_name is not None:
        rows = [nodes.by_name(db, target.exact_name)]
    else:
        rows = list(nodes.every(db))
    return [row["id"] for row in rows if row is not None and matches(target, nodes.traits(row))]


def forget(db: sqlite3.Connection, *, limit: int) -> int:
    """Let go of lines that no task is in, until `limit` rows are gone (and those of the line begun); returns how many.

    A task for such a target makes its line anew.
    """
    rows = 0
    for (line,) in db.execute(_EMPTY, (limit,)).fetchall():
        rows += 1 + db.execute("DELETE FROM placement_nodes WHERE placement_id = ?", (line,)).rowcount
        db.execute("DELETE FROM placements WHERE id = ?", (line,))
        if rows >= limit:
            break
    return rows
