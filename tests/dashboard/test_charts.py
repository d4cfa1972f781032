"""Charts draw from SQL in the browser: a viewer may run exactly theirs."""

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from qb.dashboard.pages import trends
from qb.dashboard.roles import Role
from qb.domain.times import utc_now
from qb.store.database import connect
from qb.store.migrations import migrate
from tests.dashboard.seed import Seeder

METADATA = Path(__file__).parents[2] / "datasette" / "metadata.yml"
CHARTS = yaml.safe_load(METADATA.read_text())["plugins"]["datasette-dashboards"]["trends"]["charts"]


def test_a_viewer_gets_the_data_of_every_chart_and_of_nothing_near_it(dashboard: Any) -> None:
    boards = yaml.safe_load(METADATA.read_text())["plugins"]["datasette-dashboards"]
    queries = [chart["query"] for board in boards.values() for chart in board["charts"].values() if "query" in chart]
    assert len(queries) > 3
    with dashboard.visitor(Role.VIEWER) as viewer:
        for slug in boards:
            led_on = viewer.get(f"/-/dashboards/{slug}")
            assert "ds_actor" not in led_on.headers.get("set-cookie", ""), "it would be repeated, open to scripts"
            assert viewer.get(f"/-/dashboards/{slug}", follow_redirects=True).status_code == 200
        for query in queries:
            asked = {"sql": query, "_shape": "objects", "hours": "24"}
            assert viewer.get("/qb.json", params=asked).status_code == 200, query
            for near in (f"{query} -- more", f"select * from ({query})", query.replace("tasks", "nodes") + " "):  # noqa: S608 - attacks
                if near.strip() != query.strip():
                    assert viewer.get("/qb.json", params={"sql": near}).status_code == 403
            assert viewer.get("/qb.json", params={**asked, "_where": "1"}).status_code == 403
            assert viewer.get("/qb", params={"sql": query}).status_code == 403
        twice = [("sql", queries[0]), ("sql", "select * from uploads")]
        assert viewer.get("/qb.json", params=twice).status_code == 403


def test_the_wait_counts_tasks_that_run_still(empty_dashboard: Any) -> None:
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        s = Seeder(db)
        node = s.node("edge-1", seen=1)
        for _ in range(3):
            s.start(s.task("Work for long", age=7200), node, ago=0)
    waits = empty_dashboard.page("/trends/wait.json?hours=24").json()
    assert {row["share"]: row["minutes"] for row in waits} == pytest.approx({"p50": 120, "p95": 120}, abs=0.1)


def test_the_trends_say_how_long_the_oldest_task_waits_by_now(empty_dashboard: Any) -> None:
    page = "/-/dashboards/trends?hours=24"
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        assert "Nothing waits now" in empty_dashboard.page(page).text
        s = Seeder(db)
        for age in (10_900, 60, 5):
            s.task("Wait", age=age)
    assert "3</a> wait now, the longest for 3 h 1 min." in empty_dashboard.page(page).text


def test_what_clients_and_models_are_called_is_plain_in_a_chart_too(empty_dashboard: Any) -> None:
    hour = utc_now().isoformat()[:13]
    with closing(connect(empty_dashboard.data_dir / "qb.db")) as db:
        db.execute(
            "INSERT INTO hourly_spending VALUES (?, ?, ?, 5, 0.1)",
            (hour, "\x1b[31mac\u202eme\x07", "one\ntwo " + "x" * 4000),
        )
    for chart in ("cost", "tokens"):
        [row] = empty_dashboard.page(f"/trends/{chart}.json?hours=24").json()
        assert row["client"] == "ac\ufffdme\ufffd"
        assert row["model"].startswith("one two xxx")
        assert len(row["model"]) == 200
        assert row["tokens"] == 5


@pytest.mark.parametrize("statement", [CHARTS["wait"]["query"], trends.OLDEST])
def test_what_waits_and_runs_is_found_by_its_status(tmp_path: Path, statement: str) -> None:
    migrate(tmp_path / "qb.db")
    with closing(connect(tmp_path / "qb.db")) as db:
        steps = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", {"hours": 24})]
    of_tasks = [step for step in steps if " tasks" in step or "SEARCH t " in step]
    assert of_tasks, steps
    assert all("INDEX tasks_by_status (status=?" in step for step in of_tasks), steps


def test_the_trends_doubt_the_control_plane_as_other_pages_do(dashboard: Any) -> None:
    page, doubt = "/-/dashboards/trends?hours=24", "Is the control plane running?"
    with closing(connect(dashboard.data_dir / "qb.db")) as db:
        assert doubt not in dashboard.page(page).text
        seen = db.execute("SELECT last_seen_at, id FROM nodes").fetchall()
        happened = db.execute("SELECT at, id FROM task_events").fetchall()
        try:
            for table, column in (("nodes", "last_seen_at"), ("task_events", "at")):
                db.execute(f"UPDATE {table} SET {column} = '2026-01-31T12:00:00.000Z'")  # noqa: S608 - constants
            assert doubt in dashboard.page(page).text
        finally:
            db.executemany("UPDATE nodes SET last_seen_at = ? WHERE id = ?", [tuple(row) for row in seen])
            db.executemany("UPDATE task_events SET at = ? WHERE id = ?", [tuple(row) for row in happened])


@pytest.mark.parametrize(
    ("query", "shown"),
    [("", "24 hours"), ("?hours=6", "6 hours"), ("?hours=168", "7 days"), ("?hours=48", "2 days"),
     ("?hours=30", "30 hours"), ("?hours=abc", "24 hours"), ("?hours=0", "24 hours"), ("?hours=9999", "24 hours"),
     ("?other=1", "24 hours")],
)  # fmt: skip
def test_the_span_that_is_drawn_is_the_one_that_is_chosen(dashboard: Any, query: str, shown: str) -> None:
    page = dashboard.http.get(f"/-/dashboards/trends{query}", follow_redirects=True)
    chosen = re.findall(r"<option[^>]* selected>([^<]+)<", page.text)
    assert chosen == [shown]
