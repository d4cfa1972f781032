"""Datasette's pages of tables and rows: where their links lead, and that what others wrote is no link."""

import re
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from typing import Any

import pytest

from qb.dashboard.roles import Role
from qb.store.database import connect

OF_TASKS = (
    "task_specs task_events attempts schedules crush_sessions crush_messages artifacts task_files task_dependencies "
    "output_logs task_questions task_metrics tasks"
).split()


@pytest.fixture(scope="module")
def related(dashboard: Any) -> Iterator[Any]:
    """The seeded fleet with a schedule and a task that waits for another."""
    tasks = dashboard.tasks
    with closing(connect(dashboard.data_dir / "qb.db")) as db:
        pair = (tasks["stuck"], tasks["queued"])
        db.execute("INSERT INTO task_dependencies (depends_on, task_id) VALUES (?, ?)", pair)
        db.execute(
            "INSERT INTO schedules (task_id, recurrence, created_at, time_zone, missed_runs) "
            "VALUES (?, '0 6 * * *', '2026-01-31T12:00:00.000Z', 'UTC', 'skip')",
            (tasks["stuck"],),
        )
    yield dashboard


def _rows(page: str) -> str:
    found = re.search(r'<table class="(?:rows-and-columns|row plain)">.*?</table>', page, re.DOTALL)
    assert found, page
    return found[0]


def _links(html: str) -> set[str]:
    return {unescape(each) for each in re.findall(r'href="([^"]+)"', html)}


@pytest.mark.parametrize("table", OF_TASKS)
def test_every_link_of_a_table_leads_somewhere(related: Any, table: str) -> None:
    links = _links(_rows(related.page(f"/qb/{table}").text))
    assert [link for link in links if link.startswith("/task/")], "the task of a row is one step away"
    assert {link: related.page(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_a_task_is_called_by_its_title_where_it_has_one(related: Any) -> None:
    rows = _rows(related.page("/qb/attempts").text)
    done, hostile = related.tasks["done"], related.tasks["hostile"]
    assert f'<a href="/task/{done}">Weekly sales</a>' in rows
    assert f'<a href="/task/{hostile}">{hostile}</a>' in rows


def test_both_tasks_of_a_dependency_are_linked(related: Any) -> None:
    links = _links(_rows(related.page("/qb/task_dependencies").text))
    assert {f"/task/{related.tasks[name]}" for name in ("stuck", "queued")} <= links


def test_a_row_of_tasks_leads_to_its_page_and_to_its_own_rows(related: Any) -> None:
    rows = related.page("/qb/tasks.json?_shape=array&_sort=seq").json()
    seq, task_id = next((row["seq"], row["id"]) for row in rows if row["id"] == related.tasks["done"])
    page = related.page(f"/qb/tasks/{seq}")
    assert page.status_code == 200
    links = _links(page.text)
    assert f"/task/{task_id}" in links
    assert f"/qb/attempts?task_id={task_id}" in links
    assert "0 rows" not in page.text
    assert "1 row where" in related.page(f"/qb/attempts?task_id={task_id}").text


@pytest.mark.parametrize("role", Role)
def test_a_row_page_leads_nobody_to_what_is_not_for_him(related: Any, role: Role) -> None:
    node = related.page("/qb/nodes.json?_shape=array").json()[0]["id"]
    with related.visitor(role) as http:
        for path in ("/qb/tasks/1", f"/qb/nodes/{node}", "/qb/placements/1", "/qb/task_events/1"):
            page = http.get(path)
            assert page.status_code == 200, path
            links = {link for link in _links(page.text.partition("<main")[2]) if link != "#live"}
            assert {link: http.get(link).status_code for link in links} == dict.fromkeys(links, 200)
        assert ("/qb/output_logs?" in http.get("/qb/tasks/1").text) is (role is Role.ANALYST)


def test_a_row_is_shown_whole_and_inert(related: Any) -> None:
    page = related.page(f"/qb/task_specs/{related.tasks['hostile']}")
    assert page.status_code == 200
    assert "&lt;script&gt;document.title" in page.text
    assert "\x1b" not in page.text and "\u202e" not in page.text


@pytest.fixture(scope="module")
def luring(dashboard: Any) -> Iterator[Any]:
    """Titles, prompts, messages and hostnames that are nothing but an address."""
    lures = {name: f"https://evil.example/{name}" for name in ("title", "prompt", "message", "hostname")}
    with closing(connect(dashboard.data_dir / "qb.db")) as db:
        task = dashboard.seeder.Seeder(db).task(lures["prompt"], age=1, title=lures["title"])
        db.execute("UPDATE tasks SET message = ? WHERE id = ?", (lures["message"], task))
        db.execute("UPDATE nodes SET hostname = ? WHERE name = 'edge-lyon-2'", (lures["hostname"],))
    yield dashboard


@pytest.mark.parametrize(
    "path",
    [
        "/qb/task_specs?_sort_desc=task_id&_size=max", "/qb/tasks", "/qb/nodes", "/qb/queue", "/qb/tasks_by_status",
        "/qb/waiting_longest", "/qb?sql=select+'https://evil.example/x'+as+x", "/qb/tasks/{seq}", "/qb/nodes/{node}",
        "/qb/task_events", "/qb/tasks?_facet=title&_size=1", "/qb?sql=select+'https://evil.example/x'+as+task_id",
        "/qb?sql=select+'[a](https://evil.example/x)+![b](https://evil.example/y.png)'+as+x_markdown",
    ],
)  # fmt: skip
def test_an_address_that_an_agent_or_a_node_wrote_is_no_link(luring: Any, path: str) -> None:
    seq = luring.page("/qb/tasks.json?_shape=array&_sort_desc=seq&_size=1").json()[0]["seq"]
    node = luring.page("/qb/nodes.json?_shape=array&name=edge-lyon-2").json()[0]["id"]
    page = luring.page(path.format(seq=seq, node=node))
    assert page.status_code == 200
    main = page.text.partition("<main")[2].replace(luring.url, "")
    assert "https://evil.example/" in main or "_events" in path
    assert not re.search(r"""(?:href|src|action)\s*=\s*["']?\s*(?:https?:)?//""", main)


def test_text_of_controls_alone_is_inert(luring: Any) -> None:
    with closing(connect(luring.data_dir / "qb.db")) as db:
        db.execute("UPDATE nodes SET hostname = char(27) || '[31m', arch = char(7) || 'x' WHERE name = 'edge-lyon-2'")
    for path in ("/qb/nodes", "/qb?sql=select+char(27)||'[31m'+as+colour,+char(8238)+as+turned,+char(7)||'x'+as+bell"):
        page = luring.page(path)
        assert page.status_code == 200
        assert not re.search("[\x07\x1b\u202e]", page.text)
        assert "\ufffdx" in page.text


def test_a_long_value_is_cut_in_a_table_and_whole_on_its_own_page(luring: Any) -> None:
    with closing(connect(luring.data_dir / "qb.db")) as db:
        task = luring.seeder.Seeder(db).task("long " * 1000 + "the end", age=1)
    assert "the end" not in _rows(luring.page(f"/qb/task_specs?task_id={task}").text)
    assert "the end" in luring.page(f"/qb/task_specs/{task}").text
