"""What is asked with every claim, heartbeat or tick looks at what is live, however much has ended."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qb.store import claims, dependencies, doubts, files, key_limits, tasks
from qb.store.database import connect
from qb.store.migrations import migrate

LIVE_ALONE = {
    "claims: what a node holds": (claims._HELD, "tasks_held"),
    "claims: renew all": (claims._RENEW_ALL, "tasks_held"),
    "claims: the next task": (claims._CLAIM, "tasks_claimable"),
    "claims: leases that ran out": (claims._EXPIRED, "tasks_by_lease"),
    "claims: past the deadline": (claims._OVERDUE, "tasks_by_deadline"),
    "claims: cancelled and unconfirmed": (claims._UNCONFIRMED, "tasks_by_lease"),
    "claims: whose time has come": (claims._DUE, "tasks_waiting"),
    "doubts: extend": (doubts._EXTEND, "tasks_held"),
    "doubts: any due": (doubts._ANY_DUE, "doubts_by_time"),
    "files: of a live task": (files._LIVE_FILE, "tasks_held"),
    "tasks: expiring": (tasks._EXPIRING, "tasks_expiring"),
    "dependencies: who waits": (dependencies._DEPENDANTS, "sqlite_autoindex_tasks_1"),
    "a key's limit: running": (key_limits._COUNT, "tasks_counted"),
    "the figures of a day": (tasks._COUNTS, "tasks_completed"),
}
"""Each statement, and the index that it must go by."""

EVER = ("tasks_by_node", "tasks_by_key", "tasks_by_placement")
"""Indexes of all that there ever was."""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """An empty database: its planner knows nothing of sizes, as on a server."""
    migrate(tmp_path / "qb.db")
    with closing(connect(tmp_path / "qb.db")) as db:
        yield db


def plan(db: sqlite3.Connection, statement: str) -> list[str]:
    """What SQLite is going to do, a line for each step."""
    values: dict[str, None] | list[None] = [None] * statement.count("?")
    if not values:
        values = dict.fromkeys(("node_id", "now", "lease", "counts_start", "floor", "name", "task_id", "key", "day"))
    return [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]


@pytest.mark.parametrize("name", LIVE_ALONE)
def test_a_frequent_question_goes_by_an_index_of_what_is_live(db: sqlite3.Connection, name: str) -> None:
    statement, index = LIVE_ALONE[name]
    steps = plan(db, statement)
    assert any(f"INDEX {index}" in step for step in steps), steps
    assert not [step for step in steps if any(each in step for each in EVER)], steps
    assert not [step for step in steps if step.startswith("SCAN tasks") and "INDEX" not in step], steps
