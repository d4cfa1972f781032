"""Sums by the hour: kept by triggers, and counted anew from the tasks, they are the same."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from qb.store import hours
from qb.store.database import connect
from qb.store.migrations import migrate, schema
from tests.dashboard.seed_fleet import make

TABLES = {"hourly_endings": "tasks", "hourly_durations": "tasks", "hourly_queue": "step", "hourly_spending": "tokens"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A thousand tasks that went their way through the store."""
    folder = tmp_path_factory.mktemp("fleet")
    make(folder, nodes=20, tasks=1000)
    with closing(connect(folder / "qb.db")) as db:
        yield db


def sums(db: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that says something, costs to a millionth."""
    found = {}
    for table, value in TABLES.items():
        rows = db.execute(f"SELECT * FROM {table} WHERE {value} <> 0 ORDER BY 1, 2").fetchall()  # noqa: S608
        rounded = [[round(each, 6) if isinstance(each, float) else each for each in row] for row in rows]
        found[table] = sorted(map(tuple, rounded))
    return found


def test_what_triggers_kept_is_what_a_count_finds(fleet: sqlite3.Connection) -> None:
    kept = sums(fleet)
    assert all(kept.values())
    for table in TABLES:
        fleet.execute(f"DELETE FROM {table}")  # noqa: S608
    for statement in hours.FILL:
        fleet.execute(statement)
    assert sums(fleet) == kept


def test_the_sums_say_what_the_tasks_say(fleet: sqlite3.Connection) -> None:
    [ended, tokens] = fleet.execute("SELECT count(*), sum(tokens) FROM tasks WHERE completed_at IS NOT NULL").fetchone()
    assert fleet.execute("SELECT sum(tasks) FROM hourly_endings").fetchone()[0] == ended
    assert fleet.execute("SELECT sum(tokens) FROM hourly_spending").fetchone()[0] == tokens
    ran = fleet.execute(
        "SELECT (julianday(completed_at) - julianday(started_at)) * 864000 AS tenths FROM tasks "
        "WHERE completed_at IS NOT NULL AND started_at IS NOT NULL ORDER BY 1"
    ).fetchall()
    counted = fleet.execute(
        "SELECT tenths, sum(tasks) OVER (ORDER BY tenths) AS upto FROM (SELECT tenths, sum(tasks) AS tasks "
        "FROM hourly_durations WHERE what = 'run' GROUP BY tenths)"
    ).fetchall()
    for share in (0.05, 0.5, 0.95, 0.99):
        place = int(len(ran) * share)
        rounded = next(row["tenths"] for row in counted if row["upto"] > place)
        assert rounded == pytest.approx(ran[place]["tenths"], rel=0.051, abs=0.6)


def test_a_database_of_the_release_before_has_its_past_counted(tmp_path: Path) -> None:
    fresh, older = tmp_path / "fresh", tmp_path / "older"
    for folder in (fresh, older):
        folder.mkdir()
    migrate(fresh / "qb.db")
    with closing(connect(older / "qb.db")) as db:
        schema.apply(Database(db), stop_before="m018_sums_by_the_hour")
        db.execute("INSERT INTO placements (id, target) VALUES (1, '{}')")
        db.execute(
            "INSERT INTO tasks (id, placement_id, priority, status, claimable, attempt, starts, max_attempts, "
            "deliveries, acknowledged, created_at, assigned_at, started_at, completed_at, reason) VALUES ('t', 1, 0, "
            "'error', 0, 1, 1, 1, 1, 1, '2026-03-01T09:59:00.000Z', '2026-03-01T10:00:01.000Z', "
            "'2026-03-01T10:00:02.000Z', '2026-03-01T10:20:02.000Z', 'timeout')"
        )
    migrate(older / "qb.db")
    with closing(connect(older / "qb.db")) as db, closing(connect(fresh / "qb.db")) as new:
        shape = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '\\_sqlite%' ESCAPE '\\' ORDER BY name"
        assert [tuple(row) for row in db.execute(shape)] == [tuple(row) for row in new.execute(shape)]
        assert sums(db) == {
            "hourly_endings": [("2026-03-01T10", "error", "timeout", 1)],
            "hourly_durations": [("2026-03-01T10", "run", 12000, 1), ("2026-03-01T10", "wait", 610, 1)],
            "hourly_queue": [("2026-03-01T09", 1), ("2026-03-01T10", -1)],
            "hourly_spending": [],
        }


def test_a_wrong_time_in_one_row_takes_no_other_with_it(fleet: sqlite3.Connection) -> None:
    before = sums(fleet)
    fleet.execute("INSERT INTO hourly_endings VALUES ('2099-01-01T00', 'success', '', 1)")
    after = sums(fleet)
    after["hourly_endings"].remove(("2099-01-01T00", "success", "", 1))
    assert after == before
