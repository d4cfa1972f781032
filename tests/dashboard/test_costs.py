"""What a question may cost: no answer, function or join takes the dashboard's memory or one of its threads."""
# ruff: noqa: S608 - attacks, on purpose

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.views.base import DatasetteError

from qb.dashboard import costs
from qb.dashboard.roles import Role
from qb.store.database import connect

LONG, HALF = "hex(zeroblob(400000))", "hex(zeroblob(200000))"
KEYS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000), "
SLOW = [
    f"select instr({LONG}, {HALF} || '1')",
    f"select length(replace({LONG}, {HALF} || '1', ''))",
    f"select length(trim({LONG}, 'abcdefgh{'z' * 1000}0'))",
    f"select length(ltrim({LONG}, '{'z' * 1000}0')), length(rtrim({LONG}, '{'z' * 1000}0'))",
    f"{KEYS} o as (select json_group_object('k' || i, i) as j from n) select length(json_patch(j, j)) from o",
]
WIDE = f"select {', '.join(['hex(zeroblob(8000000))'] * 40)}"
LARGE = (
    "with recursive n(i) as (select 1 union all select i + 1 from n) select hex(zeroblob(50000)), i from n limit 900"
)
LENGTHY = f"select {' + '.join(['length(hex(zeroblob(9000000 + seq)))'] * 120)} from tasks where seq = 1"
MEMORY_MIB = 700


@pytest.fixture
def bounded() -> Iterator[sqlite3.Connection]:
    """A connection with the functions that are bounded, and no other bound."""
    with closing(sqlite3.connect(":memory:")) as connection:
        costs.bound_functions(connection)
        yield connection


@pytest.mark.parametrize("sql", SLOW)
def test_a_function_that_would_go_on_beyond_the_time_limit_is_refused(dashboard: Any, sql: str) -> None:
    answer = dashboard.http.get("/qb.json", params={"sql": sql})
    assert answer.status_code == 400
    assert re.search("too big|not authorized", answer.json()["error"])


@pytest.mark.parametrize(
    "expression",
    [
        "instr('edge-oslo-3', 'oslo')", "instr('x', 'y')", "instr(NULL, 'x')", "instr('x', NULL)", "instr(120.5, 0)",
        "instr(x'0102', x'02')", "replace('a-b-c', '-', '+')", "replace('abc', '', 'x')", "replace(12, 2, 3)",
        "replace('a', NULL, 'x')", "trim('xxaxx', 'x')", "ltrim('xxa', 'x')", "rtrim('axx', 'x')", "trim('  a  ')",
        "trim(NULL, 'x')", "typeof(replace(1, 1, 2))", "instr('\u00e4\u00f6', '\u00f6')",
    ],
)  # fmt: skip
def test_a_bounded_function_answers_as_sqlites_own(bounded: sqlite3.Connection, expression: str) -> None:
    with closing(sqlite3.connect(":memory:")) as plain:
        sql = f"SELECT {expression}"
        assert bounded.execute(sql).fetchone() == plain.execute(sql).fetchone()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # how SQLite is told, where others see it
def test_a_replacement_grows_no_longer_than_a_value_may(bounded: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.DataError, match="too big"):
        bounded.execute("SELECT length(replace(hex(zeroblob(2000)), '0', hex(zeroblob(10000))))").fetchone()


@pytest.mark.parametrize("suffix", ["", ".json", ".csv"])
def test_an_answer_that_is_too_large_is_refused_with_what_to_do(dashboard: Any, suffix: str) -> None:
    answer = dashboard.http.get(f"/qb{suffix}", params={"sql": LARGE})
    assert answer.status_code == 400
    assert "over 64 MiB" in answer.text
    assert "_size=5" in answer.text


def test_rows_that_others_wrote_are_measured_for_viewers_too(dashboard: Any) -> None:
    task = dashboard.tasks["done"]
    with closing(connect(dashboard.data_dir / "qb.db")) as db:
        for number in range(3):
            db.execute(
                "INSERT INTO crush_messages (task_id, session_id, position, id, content) VALUES (?, 's1', ?, ?, ?)",
                (task, 100 + number, f"long-{number}", "x" * (24 << 20)),
            )
    try:
        with dashboard.visitor(Role.VIEWER) as viewer:
            for path in ("/qb/crush_messages", "/qb/crush_messages.json", "/qb/crush_messages.csv"):
                answer = viewer.get(path)
                assert (answer.status_code, "over 64 MiB" in answer.text) == (400, True), path
            assert viewer.get("/qb/crush_messages?_nocol=content").status_code == 200
            assert viewer.get(f"/task/{task}").status_code == 200
    finally:
        with closing(connect(dashboard.data_dir / "qb.db")) as db:
            db.execute("DELETE FROM crush_messages WHERE position >= 100")


def test_what_sqlite_holds_at_once_is_bounded(dashboard: Any) -> None:
    answer = dashboard.http.get("/qb.json", params={"sql": WIDE})
    assert answer.status_code == 400
    assert "memory" in answer.json()["error"]
    status = Path(f"/proc/{dashboard.process}/status").read_text()
    most = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert most is not None
    assert int(most[1]) >> 10 < MEMORY_MIB
    assert dashboard.page().status_code == 200


def test_costly_steps_are_stopped_in_the_middle_of_a_row(dashboard: Any) -> None:
    answer = dashboard.http.get("/qb.json", params={"sql": LENGTHY})
    assert answer.status_code == 400
    assert "time limit" in answer.text


def test_the_bytes_of_all_rows_count(monkeypatch: pytest.MonkeyPatch, bounded: sqlite3.Connection) -> None:
    monkeypatch.setattr(costs, "ANSWER", 4000)
    bounded.row_factory = costs.Measured()
    rows = bounded.execute("SELECT hex(zeroblob(500)) AS text UNION ALL SELECT hex(zeroblob(501))")
    assert len(rows.fetchone()["text"]) == 1000
    with pytest.raises(DatasetteError, match="_size"):
        bounded.execute("SELECT hex(zeroblob(900)) UNION ALL SELECT hex(zeroblob(901))").fetchall()
