"""Datasette's pages of tables and rows: where their links lead, and that what others wrote is no link."""

import re
import runpy
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qb.contract.states import Reason, TaskStatus
from qb.dashboard.roles import Role
from qb.store.database import connect

WORDING = Path(__file__).parents[2] / "datasette" / "plugins" / "wording.py"
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


@pytest.mark.parametrize(("length", "shown"), [(10, "x" * 10), (60, "x" * 50 + "…"), (100_000, "x" * 50 + "…")])
def test_no_more_of_a_text_is_made_plain_than_a_cell_needs(length: int, shown: str) -> None:
    wording = runpy.run_path(str(WORDING))
    made_plain: list[str] = []
    wording["render_cell"].__globals__["plain"] = lambda text: made_plain.append(text) or text
    cell = {"column": "content", "table": "crush_messages", "datasette": SimpleNamespace(setting=lambda _: 50)}
    assert wording["render_cell"]("x" * length, **cell) == shown
    assert len("".join(made_plain)) <= 200


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


@pytest.fixture(scope="module")
def crowded(dashboard: Any) -> Iterator[Any]:
    """More waiting tasks than a question shows, a schedule's pattern, and failures of more kinds than it shows rows."""
    with closing(connect(dashboard.data_dir / "qb.db")) as db:
        s = dashboard.seeder.Seeder(db)
        db.execute("BEGIN")
        pattern = s.task("Morning digest", age=9000, title="the pattern", priority=50)
        db.execute("UPDATE tasks SET schedule_id = id, claimable = 0 WHERE id = ?", (pattern,))
        for number in range(205):
            s.task(f"waits {number}", age=100)
        for node in range(75):
            name = s.node(f"crowd-{node}", seen=1)
            for reason in (Reason.TIMEOUT, Reason.EXIT_NONZERO, Reason.OUT_OF_MEMORY):
                task = s.task("fails", age=50)
                s.start(task, name, ago=40)
                said = {"agent_status": "success", "exit_code": 1}
                s.end(task, TaskStatus.ERROR, ago=30 - node / 10, reason=reason, **said)
        db.execute("COMMIT")
    yield dashboard


def test_failures_by_reason_are_all_of_them(crowded: Any) -> None:
    rows = crowded.page("/qb/failures_by_reason.json?_shape=array&days=7").json()
    with closing(connect(crowded.data_dir / "qb.db")) as db:
        failed = dict(db.execute("SELECT reason, count(*) FROM tasks WHERE reason IS NOT NULL GROUP BY 1").fetchall())
        nodes = dict(
            db.execute(
                "SELECT reason, count(DISTINCT assigned_node_id) FROM tasks WHERE reason IS NOT NULL GROUP BY 1"
            ).fetchall()
        )
    assert sum(failed.values()) > 225
    assert {row["reason"]: row["tasks"] for row in rows} == failed
    assert {row["reason"]: row["nodes"] for row in rows} == nodes
    assert [row["tasks"] for row in rows] == sorted(failed.values(), reverse=True)


@pytest.mark.parametrize("question", ["queue", "tasks_by_status", "waiting_longest", "disagreements"])
def test_a_question_whose_answer_is_cut_says_so_and_where_the_rest_is(crowded: Any, question: str) -> None:
    page = crowded.page(f"/qb/{question}")
    rows = crowded.page(f"/qb/{question}.json?_shape=array").json()
    assert len(rows) == 200
    told = re.search(r'<p class="notice cut">(.*?)</p>', page.text, re.DOTALL)
    assert told is not None
    assert "first 200" in told[1]
    [rest] = _links(told[1])
    assert crowded.page(rest).status_code == 200
    with crowded.visitor(Role.VIEWER) as viewer:
        assert viewer.get(rest).status_code == 200


def test_what_is_further_back_is_led_to_and_none_is_lost(crowded: Any) -> None:
    path, found = "/qb/disagreements", set[str]()
    for _ in range(3):
        page = crowded.page(path)
        found |= {link for link in _links(_rows(page.text)) if link.startswith("/task/")}
        further = re.search(r'<p class="notice cut">.*?href="([^"]+)"', page.text)
        if further is None:
            break
        path = unescape(further[1])
    assert len(found) == 225


def test_a_whole_answer_says_nothing_of_the_kind(crowded: Any) -> None:
    for path in ("/qb/tasks_by_status?status=running", "/qb/silent_nodes", "/qb/failures_by_reason"):
        page = crowded.page(path)
        assert page.status_code == 200
        assert "notice cut" not in page.text, path


@pytest.mark.parametrize("question", ["queue", "waiting_longest", "tasks_by_status"])
def test_a_schedules_pattern_is_no_task_that_waits(crowded: Any, question: str) -> None:
    rows = crowded.page(f"/qb/{question}.json?_shape=array&status=pending").json()
    assert "the pattern" not in {row["what"] for row in rows}
