"""Lists of tasks: every filter and every mixture of them finds just what a look at each task would."""

import json
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from qb.domain.placement import Target
from qb.domain.times import iso
from qb.store import placements, tasks
from qb.store.database import connect
from qb.store.migrations import migrate
from qb.store.task_pages import Filters, find

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNT = 600
NODES = [str(UUID(int=number)) for number in (1, 2, 3)]
TAGS: tuple[dict[str, str], ...] = (
    {},
    {"site": "rome"},
    {"site": "rome", "gpu": "yes"},
    {"site": "oslo"},
    {"o'k": '"'},
)
ALL = 1 << 40


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path: Path = tmp_path_factory.mktemp("pages") / "qb.db"
    migrate(path)
    connection = connect(path)
    chance = random.Random(7)
    connection.execute("BEGIN")
    for number in range(COUNT):
        key = chance.choice(["k1", "k2", "k3"])
        new = tasks.NewTask(
            id=str(UUID(int=chance.getrandbits(128))),
            prompt=f"Count the {chance.choice(['Apples', 'pears', 'ÄPFEL'])} of {number}",
            title=chance.choice([None, "Fruit", "100% _done_"]),
            placement_id=placements.ensure(connection, Target.of(tags=chance.choice(TAGS))),
            priority=0,
            timeout_seconds=None,
            max_attempts=1,
            created_at=iso(START + timedelta(seconds=10 * number + chance.choice([0, chance.uniform(-25, 25)]))),
            created_by={"k1": "ci", "k2": "ci", "k3": "ops"}[key],
            created_by_key=key,
            group_id=chance.choice([None, "g1", "g2"]),
        )
        tasks.insert(connection, new)
        node = chance.choice([None, *NODES])
        ended = (
            "UPDATE tasks SET status = ?, claimable = 0, completed_at = created_at, assigned_node_id = ? WHERE id = ?"
        )
        if node is not None:
            connection.execute(ended, (chance.choice(["success", "error"]), node, new.id))
    connection.execute("COMMIT")
    yield connection
    connection.close()


def everything(db: sqlite3.Connection) -> list[dict[str, Any]]:
    statement = """SELECT t.*, s.prompt, p.target FROM tasks t JOIN task_specs s ON s.task_id = t.id
        JOIN placements p ON p.id = t.placement_id ORDER BY seq DESC"""
    return [dict(row) for row in db.execute(statement)]


def fits(task: dict[str, Any], filters: Filters) -> bool:
    text = f"{task['title'] or ''}\n{task['prompt']}".lower()
    return (
        (filters.status in (None, task["status"]))
        and (filters.node in (None, task["assigned_node_id"]))
        and (filters.key in (None, task["created_by"], task["created_by_key"]))
        and (filters.group in (None, task["group_id"]))
        and (filters.owner in (None, task["created_by_key"]))
        and (filters.text is None or filters.text.lower() in text)
        and (filters.since is None or task["created_at"] >= filters.since)
        and (filters.until is None or task["created_at"] < filters.until)
        and (filters.id_prefix is None or task["id"].startswith(filters.id_prefix))
        and set(filters.tags) <= {tuple(each) for each in json.loads(task["target"])[2]}
    )


def paged(db: sqlite3.Connection, filters: Filters, limit: int, scan: int) -> list[int]:
    found: list[int] = []
    cursor: int | None = ALL
    for _ in range(COUNT):
        page, after = find(db, filters, before=cursor, limit=limit, scan=scan)
        assert len(page) <= limit
        assert after is None or after < cursor
        found += page
        if after is None:
            return found
        cursor = after
    raise AssertionError("the pages do not end")


def mixtures() -> Iterator[Filters]:
    chance = random.Random(11)
    for _ in range(200):
        share = chance.choice([0.1, 0.3, 0.6])
        one: dict[str, Any] = {
            "status": chance.choice(["pending", "success", "error", "running"]),
            "node": chance.choice([*NODES, "nowhere"]),
            "tags": chance.choice([(("site", "rome"),), (("site", "rome"), ("gpu", "yes")), (("o'k", '"'),)]),
            "key": chance.choice(["ci", "ops", "k2", "nobody"]),
            "group": chance.choice(["g1", "g3"]),
            "owner": chance.choice(["k1", "k3"]),
            "text": chance.choice(["apples", "PEARS", "100% _", "7"]),
            "since": iso(START + timedelta(seconds=10 * chance.randrange(-10, COUNT + 10))),
            "until": iso(START + timedelta(seconds=10 * chance.randrange(-10, COUNT + 10))),
        }
        yield Filters(**{name: value for name, value in one.items() if chance.random() < share})


def test_every_mixture_of_filters_finds_what_a_look_at_each_task_finds(db: sqlite3.Connection) -> None:
    all_of_them = everything(db)
    for filters in mixtures():
        expected = [task["seq"] for task in all_of_them if fits(task, filters)]
        for limit, scan in ((1000, 20_000), (7, 20_000), (7, 40)):
            assert paged(db, filters, limit, scan) == expected, (filters, limit, scan)


def test_a_task_is_found_by_the_first_characters_of_its_id(db: sqlite3.Connection) -> None:
    for task in everything(db)[:50]:
        for length in (4, 8, 36):
            prefix = Filters(id_prefix=task["id"][:length])
            expected = [each["seq"] for each in everything(db) if fits(each, prefix)]
            assert find(db, prefix, before=ALL, limit=10)[0] == expected
    assert find(db, Filters(id_prefix="0000", status="pending"), before=ALL, limit=10) == ([], None)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(status="error"), "tasks_by_status"),
        (Filters(node=NODES[0]), "tasks_by_node"),
        (Filters(group="g1"), "tasks_by_group"),
        (Filters(key="ci"), "tasks_by_key"),
        (Filters(tags=(("site", "rome"),)), "tasks_by_placement"),
        (Filters(id_prefix="0a1b"), "sqlite_autoindex_tasks_1"),
    ],
)
def test_a_filter_alone_is_served_by_its_index(filters: Filters, index: str, db: sqlite3.Connection) -> None:
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    try:
        find(db, filters, before=ALL, limit=5)
    finally:
        db.set_trace_callback(None)
    plan = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    assert any(index in line for line in plan), plan
    assert not any(line.startswith("SCAN t") for line in plan), plan
