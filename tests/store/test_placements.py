"""Lines of waiting tasks come with their first task and go after their last."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qb.domain.placement import Target
from qb.store import placements
from qb.store.database import connect
from qb.store.migrations import migrate
from tests.dashboard.seed import Seeder


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    migrate(tmp_path / "qb.db")
    with closing(connect(tmp_path / "qb.db")) as db:
        yield db


def lines(db: sqlite3.Connection) -> set[str]:
    return {row["target"] for row in db.execute("SELECT target FROM placements")}


def test_a_line_without_tasks_is_forgotten_and_made_anew(db: sqlite3.Connection) -> None:
    made = Seeder(db, datetime(2026, 3, 5, tzinfo=UTC))
    box = made.node("box", seen=1, tags={"site": "acme"})
    kept = Target.of(tags={"site": "acme"})
    made.task("Work", age=60, target=kept)
    left = Target.of(node_name="box")
    placements.ensure(db, left)
    assert placements.forget(db, limit=10) == 2, "the line and its link to the node"
    assert lines(db) == {kept.key}
    assert placements.forget(db, limit=10) == 0
    again = placements.ensure(db, left)
    found = db.execute("SELECT node_id FROM placement_nodes WHERE placement_id = ?", (again,)).fetchall()
    assert [row["node_id"] for row in found] == [box]


def test_so_many_lines_go_at_once(db: sqlite3.Connection) -> None:
    Seeder(db, datetime(2026, 3, 5, tzinfo=UTC)).node("box", seen=1)
    for number in range(5):
        placements.ensure(db, Target.of(node_name=f"b{'?' * number}*"))
    assert [placements.forget(db, limit=3) for _ in range(4)] == [4, 3, 1, 0]
    assert lines(db) == set()
    assert db.execute("SELECT count(*) FROM placement_nodes").fetchone()[0] == 0
