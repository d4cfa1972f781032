"""Raw SQLite in one process: the statements of a claim and of a heartbeat, one durable transaction each."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from qb.domain.times import iso, utc_now
from qb.store import claims, events, nodes
from qb.store.database import connect

Operation = Callable[[sqlite3.Connection, str], None]
BARE_CLAIM = claims._CLAIM.partition("RETURNING")[0] + "RETURNING id, attempt"
"""The claim without what the server reads beside it, so that the reference is at its quickest."""


def claim(db: sqlite3.Connection, node_id: str) -> None:
    """UPDATE ... RETURNING, and the rows in attempts and task_events."""
    now = iso(utc_now())
    values = {"node_id": node_id, "now": now, "lease": now, "counts_start": False, "floor": 0}
    row = db.execute(BARE_CLAIM, values).fetchall()[0]
    db.execute(claims._ATTEMPT, (row["id"], row["attempt"], node_id, "bench", now))
    event = (row["id"], row["attempt"], now, "claimed", "orchestrator", node_id, "assigned", None, None, None, 1, None)
    db.execute(events._ADD, event)


def heartbeat(db: sqlite3.Connection, node_id: str) -> None:
    """The node's row."""
    db.execute(nodes._HEARTBEAT, ("idle", None, 0.5, 1 << 30, iso(utc_now()), node_id)).fetchall()


def per_second(database: Path, operation: Operation, node_ids: list[str], seconds: float) -> float:
    """How many transactions a second this machine makes of `operation` on `database`, going round the nodes."""
    with closing(connect(database)) as db:
        done = 0
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            db.execute("BEGIN IMMEDIATE")
            operation(db, node_ids[done % len(node_ids)])
            db.execute("COMMIT")
            done += 1
        return done / (time.perf_counter() - begun)
