"""Fills a data directory before its server starts, straight through the store."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from qb.contract.states import Generation, NodeMode, NodeState, NodeStatus
from qb.domain.placement import Target
from qb.domain.times import iso, utc_now
from qb.service.credentials import Credentials
from qb.store import nodes, placements, tasks
from qb.store.database import connect


@contextmanager
def filling(data_dir: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on the database of `data_dir`, whose server does not run."""
    with closing(connect(data_dir / "qb.db")) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def add_nodes(db: sqlite3.Connection, count: int) -> list[str]:
    """Register `count` wire-2 nodes; returns their ids."""
    now = iso(utc_now())
    ids = [str(uuid4()) for _ in range(count)]
    for index, node_id in enumerate(ids):
        row = nodes.insert(
            db,
            {
                "id": node_id,
                "name": f"bench-{index}",
                "hostname": f"bench-{index}",
                "os_type": "linux",
                "mode": NodeMode.PULL,
                "status": NodeStatus.IDLE,
                "state": NodeState.ACTIVE,
                "capabilities": [],
                "tags": {"site": "bench"},
                "wire": 2,
                "generation": Generation.WIRE2,
                "slots": 256,
                "limits": True,
                "key_version": 1,
                "created_at": now,
                "registered_at": now,
                "last_seen_at": now,
            },
        )
        placements.link_node(db, nodes.traits(row))
    return ids


def add_tasks(db: sqlite3.Connection, count: int, target: Target | None = None) -> None:
    """Let `count` tasks wait for `target`, by default any node."""
    placement = placements.ensure(db, target or Target())
    start = utc_now()
    for index in range(count):
        tasks.insert(
            db,
            tasks.NewTask(
                id=str(uuid4()),
                prompt="Summarise the attached sales figures and name the three best regions.",
                placement_id=placement,
                priority=0,
                timeout_seconds=3600,
                max_attempts=1,
                created_at=iso(start + timedelta(milliseconds=index)),
                created_by="bench",
            ),
        )


def node_keys(data_dir: Path, node_ids: list[str]) -> list[str]:
    """The keys of seeded nodes."""
    credentials = Credentials.load(data_dir, utc_now)
    return [credentials.node_key(node_id, 1) for node_id in node_ids]
