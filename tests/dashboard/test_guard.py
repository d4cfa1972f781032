"""What the guard plugin forbids a connection, beyond what Datasette refuses by itself."""

import runpy
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

GUARD = Path(__file__).parents[2] / "datasette" / "plugins" / "guard.py"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that could write, had the guard not seen it."""
    with closing(sqlite3.connect(tmp_path / "qb.db")) as connection:
        connection.execute("CREATE TABLE tasks (id TEXT)")
        runpy.run_path(str(GUARD))["prepare_connection"](connection, "qb")
        yield connection


def test_a_guarded_connection_reads_and_never_writes(guarded: sqlite3.Connection) -> None:
    assert guarded.execute("SELECT count(*) FROM tasks").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        guarded.execute("INSERT INTO tasks VALUES ('x')")


def test_a_guarded_connection_opens_no_other_file(guarded: sqlite3.Connection, tmp_path: Path) -> None:
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        guarded.execute("ATTACH DATABASE ? AS keys", (str(tmp_path / "keys.db"),))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT printf('%.*c', 900000000, 'x')", "SELECT FORMAT('%.*c', 900000000, 'x')", "SELECT load_extension('x')",
        "PRAGMA query_only = OFF", "PRAGMA writable_schema = ON", "PRAGMA wal_checkpoint",
        "PRAGMA journal_mode = DELETE",
        "DETACH main", "SELECT hex(zeroblob(100000000))",
        "SELECT 'x' LIKE hex(zeroblob(1000))",
    ],
)  # fmt: skip
def test_a_guarded_connection_refuses_what_no_page_needs(guarded: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.Error, match=r"authorized|too big|too complex|prohibited"):
        guarded.execute(statement).fetchall()
