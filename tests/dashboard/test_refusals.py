"""What cannot be had is refused in words for who reads, with a way out, and as whose mistake it is."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from qb.dashboard.roles import Role
from qb.store.database import connect

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) as {} from n"
COLUMNS = "'' AS at, '' AS actor, '' AS action, '' AS object, '' AS outcome, '' AS address, '' AS detail, 1 AS count"
AUDIT = f"CREATE VIEW audit_log AS SELECT id, '' AS actor_id, {COLUMNS} FROM ({ENDLESS.format('id')})"  # noqa: S608
THROUGH = [
    '{"table":"tasks","column":"id","value":"x"}', "{}", "[", "1", '{"table":1,"column":[],"value":{}}',
    '{"table":"attempts","column":"nosuch","value":1}', '{"table":"nosuch","column":"id","value":"x"}',
]  # fmt: skip


@pytest.mark.parametrize("asked", ["_sort_desc=created_at", "_sort=prompt", "_sort=seq&_sort_desc=id"])
def test_a_sorting_that_is_not_offered_is_refused_with_what_is(dashboard: Any, asked: str) -> None:
    for page in (dashboard.page(f"/qb/tasks?{asked}"), dashboard.page(f"/qb/tasks.json?{asked}")):
        assert page.status_code == 400
        assert "those whose headings are links" in page.text


def test_an_offered_sorting_is_not(dashboard: Any) -> None:
    page = dashboard.page("/qb/tasks?_sort_desc=completed_at")
    assert (page.status_code, "headings are links" in page.text) == (200, False)


@pytest.fixture
def slow(seeded: Path, dashboard_over: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    """A dashboard whose page of the audit log asks for what takes for ever."""
    with closing(connect(seeded / "qb.db")) as db:
        db.execute("ALTER TABLE audit_log RENAME TO kept")
        db.execute(AUDIT)
    with dashboard_over(seeded) as running:
        yield running


def test_a_page_that_takes_too_long_says_so_and_shows_no_statement(slow: Any) -> None:
    page = slow.page("/audit")
    assert page.status_code == 503
    assert "took longer than a second" in page.text
    asked = {"sql": ENDLESS.format("own")}
    for path in ("/qb", "/qb.json", "/qb.csv", "/qb/audit_log", "/qb/audit_log.json", "/qb/audit_log.csv"):
        answer = slow.http.get(path, params=asked if path.count("/") == 1 else {})
        assert answer.status_code == 400, path
        assert "took longer than a second" in answer.text, path
        assert "docs.datasette.io" not in answer.text
        assert not re.search("(?i)select|from audit_log", answer.text.replace(asked["sql"], "")), path
    assert not re.search("(?i)select |audit_log", page.text.partition("<main")[2])
    log = (slow.data_dir / "datasette.log").read_text()
    assert "Traceback" not in log
    assert "SELECT" not in log


def test_what_an_analyst_asked_is_there_to_be_changed(dashboard: Any) -> None:
    sql = ENDLESS.format("'<b>'")
    page = dashboard.http.get("/qb", params={"sql": sql})
    assert page.status_code == 400
    assert "&#39;&lt;b&gt;&#39;" in page.text.partition("<textarea")[2].partition("</textarea>")[0]


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize("role", Role)
def test_a_way_through_another_table_that_is_not_there_is_the_readers_mistake(
    dashboard: Any, role: Role, through: str
) -> None:
    with dashboard.visitor(role) as http:
        for path in ("/qb/nodes.json", "/qb/nodes", "/qb/tasks"):
            assert http.get(path, params={"_through": through}).status_code == 400, path


def test_a_table_is_not_counted_by_any_number_of_columns(dashboard: Any) -> None:
    for path in ("/qb/tasks", "/qb/tasks.json"):
        assert dashboard.page(f"{path}?{'&'.join(['_facet=status', '_facet_date=created_at'] * 6)}").status_code == 200
        answer = dashboard.page(f"{path}?{'&'.join(['_facet=status'] * 13)}")
        assert (answer.status_code, "12 columns" in answer.text) == (400, True)


@pytest.mark.parametrize("path", ["/-/versions", "/-/versions.json", "/-/settings", "/-/databases", "/-/actor"])
def test_what_datasette_says_of_itself_can_be_read(dashboard: Any, path: str) -> None:
    assert dashboard.page(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "area"),
    [
        ("/task/00000000-0000-4000-8000-000000000000", 404, "Tasks"),
        ("/node/00000000-0000-4000-8000-000000000000", 404, "Fleet"),
        ("/qb/nosuch", 404, "Data"),
        ("/qb/tasks/999999", 404, "Data"),
        ("/nosuch/page", 404, None),
        ("/-/plugins", 404, None),
        ("/-/dashboards/nosuch", 404, "Trends"),
        ("/qb/tasks?_size=x", 400, "Data"),
        ("/qb/tasks?seq__gt=99999999999999999999", 400, "Data"),
        ("/qb/webhook_deliveries", 403, "Data"),
    ],
)
def test_an_error_leads_back_to_where_the_reader_was(dashboard: Any, path: str, status: int, area: str | None) -> None:
    page = dashboard.page(path)
    assert page.status_code == status
    assert re.findall(r'aria-current="page">(\w+)<', page.text) == ([area] if area else [])
    main = page.text.partition("<main")[2]
    assert re.search(r'<p class="back"><a href="[^"]+">', main)
    assert "Sign out" in page.text
    assert "style=" not in page.text
    assert "unsafe-inline" not in page.headers["content-security-policy"]


def test_who_may_not_is_told_why_and_who_may(dashboard: Any) -> None:
    with dashboard.visitor(Role.VIEWER) as viewer, dashboard.visitor(Role.ANALYST) as analyst:
        for path in ("/qb?sql=select+1", "/qb/tasks?_where=1", "/qb.json?sql=select+1"):
            text = viewer.get(path).text
            assert "SQL is for analysts" in text, path
            assert "execute-sql" not in text
        assert "is for analysts" in viewer.get("/qb/output_logs").text
        for role in (viewer, analyst):
            text = role.get("/qb/webhook_deliveries").text
            assert "shut for every role" in text
            assert "viewer" not in text.partition("<main")[2]
        assert viewer.get("/qb/output_logs.json").json()["status"] == 403


def test_a_fault_of_ours_says_nothing_of_how_it_came(
    seeded: Path, dashboard_over: Callable[..., AbstractContextManager[Any]]
) -> None:
    with closing(connect(seeded / "qb.db")) as db:
        db.execute("ALTER TABLE audit_log RENAME TO elsewhere")
    with dashboard_over(seeded) as running:
        page = running.page("/audit")
        assert page.status_code == 500
        assert not re.search("(?i)audit_log|no such table|select ", page.text.partition("<main")[2])
        assert "Traceback" in (seeded / "datasette.log").read_text()


def test_json_is_refused_as_json(dashboard: Any) -> None:
    for path in ("/-/plugins.json", "/nosuch.json", "/qb/nosuch.json", "/qb/tasks.json?_size=x", "/trends/nosuch.json"):
        answer = dashboard.page(path)
        assert answer.json()["status"] == answer.status_code >= 400, path
