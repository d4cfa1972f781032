"""Crush's own database, read as sessions of the wire."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from qb.client.crush import SESSION_BYTES, NotCrush, sessions_since

SCHEMA = """
CREATE TABLE sessions(id TEXT PRIMARY KEY, parent_session_id TEXT, title TEXT, message_count INTEGER,
  prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, updated_at INTEGER, created_at INTEGER,
  summary_message_id TEXT, todos TEXT);
CREATE TABLE messages(id TEXT PRIMARY KEY, session_id TEXT, role TEXT, parts TEXT, model TEXT, created_at INTEGER,
  updated_at INTEGER, finished_at INTEGER, provider TEXT, is_summary_message INTEGER);
"""
BEGAN = 1_700_000_000


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(SCHEMA)
        yield made


def session(
    db: sqlite3.Connection, name: str, *, parent: str | None = None, cost: float = 0, at: float = BEGAN
) -> None:
    sql = "INSERT INTO sessions VALUES (?, ?, ?, 1, 10, 5, ?, ?, ?, NULL, NULL)"
    db.execute(sql, (name, parent, f"about {name}", cost, at + 1, at))


def message(db: sqlite3.Connection, name: str, of: str, parts: object = "[]", at: int = BEGAN) -> None:
    sql = "INSERT INTO messages VALUES (?, ?, 'assistant', ?, 'm', ?, ?, NULL, 'p', 0)"
    db.execute(sql, (name, of, parts, at, at))


def test_only_what_began_during_the_task_is_read(db: sqlite3.Connection) -> None:
    session(db, "older", at=BEGAN - 10)
    session(db, "own", at=BEGAN)
    session(db, "in milliseconds", at=(BEGAN + 5) * 1000)
    assert [each.id for each in sessions_since(db, BEGAN + 0.9)] == ["own", "in milliseconds"]


def test_a_childs_session_names_its_parent_whose_cost_has_its_own_within(db: sqlite3.Connection) -> None:
    session(db, "parent", cost=0.9)
    session(db, "child", parent="parent", cost=0.4, at=BEGAN + 1)
    session(db, "grandchild", parent="child", cost=0.1, at=BEGAN + 2)
    found = [(each.id, each.parent_session_id, each.cost) for each in sessions_since(db, BEGAN)]
    assert found == [("parent", None, 0.9), ("child", "parent", 0.4), ("grandchild", "child", 0.1)]


def test_a_child_of_an_older_session_is_the_tasks(db: sqlite3.Connection) -> None:
    session(db, "older", at=BEGAN - 100)
    session(db, "child", parent="older", cost=0.4)
    assert [(each.id, each.cost) for each in sessions_since(db, BEGAN)] == [("child", 0.4)]


def test_messages_come_oldest_first_as_they_are(db: sqlite3.Connection) -> None:
    session(db, "s")
    message(db, "b", "s", '[{"type": "text"}]', at=BEGAN + 2)
    message(db, "a", "s", None, at=BEGAN + 1)
    message(db, "foreign", "another")
    (found,) = sessions_since(db, BEGAN)
    assert [(each.id, each.content, each.model, each.provider) for each in found.messages] == [
        ("a", None, "m", "p"),
        ("b", '[{"type": "text"}]', "m", "p"),
    ]


def test_of_a_long_log_the_oldest_are_left_out_and_that_is_said(db: sqlite3.Connection) -> None:
    session(db, "s")
    for number in range(30):
        message(db, f"m{number:02}", "s", "x" * 500_000, at=BEGAN + number)
    (found,) = sessions_since(db, BEGAN)
    assert len(found.model_dump_json()) < SESSION_BYTES * 1.01
    mark, *rest = found.messages
    assert mark.role == "system"
    assert mark.content == f"[the {30 - len(rest)} oldest messages are left out: a log is cut at 10 MB]"
    assert [each.id for each in rest] == [f"m{number:02}" for number in range(30 - len(rest), 30)]


def test_one_message_that_is_too_long_leaves_no_gap_behind_it(db: sqlite3.Connection) -> None:
    session(db, "s")
    message(db, "small", "s", "x", at=BEGAN)
    message(db, "huge", "s", "x" * (SESSION_BYTES + 1), at=BEGAN + 1)
    message(db, "last", "s", "y", at=BEGAN + 2)
    (found,) = sessions_since(db, BEGAN)
    assert [each.id for each in found.messages] == ["left-out", "last"]


def test_odd_values_do_no_harm(db: sqlite3.Connection) -> None:
    sql = "INSERT INTO sessions(id, title, prompt_tokens, cost, created_at) VALUES (?, ?, ?, ?, ?)"
    db.execute(sql, ("a\x00b", "t", 1, 1, BEGAN))
    db.execute(sql, ("x" * 300, "t", 1, 1, BEGAN))
    db.execute(sql, ("odd", b"\xff", "many", float("inf"), BEGAN))
    message(db, "m", "odd", b"\xffblob")
    (found,) = sessions_since(db, BEGAN)
    assert (found.id, found.title, found.prompt_tokens, found.cost) == ("odd", "\ufffd", None, 0.0)
    assert found.messages[0].content == "\ufffdblob"


def test_an_older_schema_reads_as_null(db: sqlite3.Connection) -> None:
    db.executescript("DROP TABLE messages; CREATE TABLE messages(id TEXT, session_id TEXT, role TEXT)")
    db.execute("INSERT INTO messages VALUES ('m', 's', 'user')")
    session(db, "s")
    (found,) = sessions_since(db, BEGAN)
    assert (found.messages[0].role, found.messages[0].content) == ("user", None)


def test_views_are_not_taken_for_tables(db: sqlite3.Connection) -> None:
    db.executescript("DROP TABLE messages; CREATE VIEW messages AS SELECT 1")
    with pytest.raises(NotCrush):
        list(sessions_since(db, BEGAN))
