"""A claim while 100,000 tasks wait for other nodes, against one with nothing else in the queue."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

from qb.domain.placement import Target
from qb.domain.times import iso, utc_now
from qb.store import claims
from qb.store.database import connect
from tests.bench.figures import ROUNDS, Figure, Say, ratio
from tests.bench.seed import add_nodes, add_tasks, filling
from tests.fixtures_server import new_server

BACKLOG = 100_000
LINES = 500
"""The backlog waits for so many different targets."""

LOOKS = 2_000
BAR = 2.0


def claim_beside_backlog(say: Say) -> list[Figure]:
    """Both a claim that finds nothing and one that finds its task, in the store, without HTTP to blur it."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        ids = {place: _filled(place, backlog=place is full) for place in (empty, full)}
        figures = []
        for name, tasks in (("finds nothing", 0), ("finds one", 1)):
            pairs = []
            for _ in range(ROUNDS):
                alone, beside = (_claim_us(place / "qb.db", ids[place], tasks) for place in (empty, full))
                pairs.append((beside, alone))
                say(f"{name}: {beside:.1f} us beside the backlog, {alone:.1f} us without")
            figures.append(ratio(f"claim beside {BACKLOG:,} tasks: {name}", pairs, "us", BAR, least=False))
        return figures


def _filled(place: Path, *, backlog: bool) -> str:
    new_server(place)
    with filling(place) as db:
        node_id, *others = add_nodes(db, 1 + LINES)
        add_tasks(db, LOOKS, Target(node_id=node_id))
        if backlog:
            for other in others:
                add_tasks(db, BACKLOG // LINES, Target(node_id=other))
    return node_id


def _claim_us(database: Path, node_id: str, tasks: int) -> float:
    """Microseconds of a claim, the median of many; all is rolled back."""
    now = iso(utc_now())
    with closing(connect(database)) as db:
        db.execute("BEGIN IMMEDIATE")
        if not tasks:
            db.execute(
                "UPDATE tasks SET claimable = 0 WHERE placement_id = (SELECT max(placement_id) FROM "
                "placement_nodes WHERE node_id = ?)",
                (node_id,),
            )
        found = [_timed(lambda: _claim(db, node_id, now)) for _ in range(LOOKS)]
        db.execute("ROLLBACK")
    assert all(bool(tasks) is (row is not None) for _, row in found)
    return median(seconds for seconds, _ in found) * 1e6


def _claim(db: sqlite3.Connection, node_id: str, now: str) -> sqlite3.Row | None:
    return claims.claim(db, node_id=node_id, node_name="bench", now=now, lease=now, counts_start=False, floor=0)


def _timed(work: Callable[[], sqlite3.Row | None]) -> tuple[float, sqlite3.Row | None]:
    begun = time.perf_counter()
    row = work()
    return time.perf_counter() - begun, row
