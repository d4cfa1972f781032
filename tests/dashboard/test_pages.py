"""The dashboard as a browser gets it, from a real Datasette over a real, live qb.db."""

import re
import time
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from qb.contract.acts import Action, Outcome
from qb.domain.times import iso, utc_now
from qb.store import audit
from qb.store.database import connect

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
ELEMENTS_OF_OURS = re.compile(r"<script(?! type=\"module\" src=\"/assets/refresh\.js\")|<img|onerror=alert\(1\)>")
QUERIES = ["queue", "tasks_by_status?status=error", "failures_by_reason?days=", "tasks_of_a_node?node=edge-*"]


def test_the_front_page_shows_every_node(dashboard: Any) -> None:
    page = dashboard.page()
    assert page.status_code == 200
    for word in ("edge-berlin-1", "client=acme", "wire 2", "wire 1, D", "draining", "offline", "65%", "100%"):
        assert word in page.text, word
    assert re.search(r"\b\d+ s ago", page.text)
    assert f'href="/task/{dashboard.tasks["running"]}"' in page.text


@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ("?tag=client%3Dacme", "edge-lyon-2", "edge-oslo-3"),
        ("?state=draining", "edge-lyon-2", "edge-berlin-1"),
        ("?name=oslo", "edge-oslo-3", "cloud-01"),
        ("?name=nowhere", "No node matches", "edge-oslo-3"),
    ],
)
def test_nodes_are_found_by_tag_state_and_name(dashboard: Any, query: str, there: str, gone: str) -> None:
    text = dashboard.page(f"/{query}").text.partition("</form>")[2]
    assert there in text
    assert gone not in text


def test_the_tasks_show_what_runs_waits_and_has_ended(dashboard: Any) -> None:
    page = dashboard.page("/tasks")
    assert page.status_code == 200
    assert "exit_nonzero" in page.text
    for task_id in dashboard.tasks.values():
        assert f'href="/task/{task_id}"' in page.text


def test_a_waiting_task_says_why_in_the_list_and_on_its_page(dashboard: Any) -> None:
    why = "1 node matches, and edge-oslo-3 is offline since"
    assert why in dashboard.page("/tasks").text
    assert why in dashboard.page(f"/task/{dashboard.tasks['stuck']}").text
    assert "Why it waits" not in dashboard.page(f"/task/{dashboard.tasks['done']}").text


@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ("status=error", "Inbox summary", "Weekly sales"),
        ("node=edge-*", "Weekly sales", "Inbox summary"),
        ("text=weakest", "Weekly sales", "Inbox summary"),
        ("reason=cancelled_by_operator", "Never mind", "Inbox summary"),
        ("by=nobody", "No task matches", "Inbox summary"),
        ("status=error&before=1", "No task matches", "Inbox summary"),
    ],
)
def test_tasks_are_found_by_what_an_operator_knows(dashboard: Any, query: str, there: str, gone: str) -> None:
    text = dashboard.page(f"/tasks?{query}").text.partition("</form>")[2]
    assert there in text
    assert gone not in text


@pytest.mark.parametrize("typed", ["a" * 300, "%" * 150, "_\\" * 80, "\u0436" * 150, "\U0001f600" * 60])
def test_what_is_typed_may_be_as_long_as_it_likes(dashboard: Any, typed: str) -> None:
    for path, name in (("/tasks", "text"), ("/tasks", "node"), ("/", "name"), ("/", "tag"), ("/audit", "actor")):
        page = dashboard.http.get(path, params={name: typed})
        assert page.status_code == 200, (path, name)


def test_a_nodes_page_draws_what_ran_on_it_and_when_it_was_silent(dashboard: Any) -> None:
    nodes = dashboard.page("/qb/nodes.json?_shape=array").json()
    berlin = next(node["id"] for node in nodes if node["name"] == "edge-berlin-1")
    page = dashboard.page(f"/node/{berlin}")
    assert page.status_code == 200
    assert 'class="bar success"' in page.text
    assert 'class="bar running"' in page.text
    oslo = next(node["id"] for node in nodes if node["name"] == "edge-oslo-3")
    assert 'class="gap"' in dashboard.page(f"/node/{oslo}").text
    assert dashboard.page("/node/00000000-0000-4000-8000-000000000000").status_code == 404


@pytest.mark.parametrize("name", ["vault-7", "odd\u202enode", "web1.example_net"])
def test_a_node_is_found_by_its_name(dashboard: Any, name: str) -> None:
    db = connect(dashboard.data_dir / "qb.db")
    try:
        db.execute("UPDATE nodes SET name = 'web1.example_net' WHERE name = 'edge-lyon-2'")
        assert dashboard.page(f"/node/{quote(name)}").status_code == 200
    finally:
        db.execute("UPDATE nodes SET name = 'edge-lyon-2' WHERE name = 'web1.example_net'")
        db.close()


def test_a_node_that_speaks_again_leaves_a_record_of_its_silence(dashboard: Any) -> None:
    db = connect(dashboard.data_dir / "qb.db")
    try:
        row = db.execute("SELECT id, last_seen_at FROM nodes WHERE name = 'edge-oslo-3'").fetchone()
        db.execute("UPDATE nodes SET status = 'idle', last_seen_at = ? WHERE id = ?", (iso(utc_now()), row["id"]))
        silence = db.execute("SELECT silent_from FROM node_silences WHERE node_id = ?", (row["id"],)).fetchone()
        assert silence["silent_from"] == row["last_seen_at"]
        assert "Heard again" in dashboard.page(f"/node/{row['id']}").text
    finally:
        db.execute(
            "UPDATE nodes SET status = 'offline', last_seen_at = ? WHERE name = 'edge-oslo-3'", (row["last_seen_at"],)
        )
        db.close()


def test_the_audit_page_says_who_did_what(dashboard: Any) -> None:
    db = connect(dashboard.data_dir / "qb.db")
    try:
        audit.add(
            db, at=iso(utc_now()), actor="nightly<b>", actor_id=None, action=Action.NODE_DRAINED,
            object_id="edge-lyon-2", outcome=Outcome.DONE, address="192.0.2.1", detail={"nodes": "edge-*"},
        )  # fmt: skip
    finally:
        db.close()
    page = dashboard.page("/audit")
    for word in ("nightly&lt;b&gt;", "node drained", "edge-lyon-2", "192.0.2.1", "edge-*"):
        assert word in page.text, word
    assert "nightly" in dashboard.page("/audit?action=node_drained").text
    assert "nightly" not in dashboard.page("/audit?action=key_created").text


def test_each_chart_of_the_trends_has_rows(dashboard: Any) -> None:
    charts = set(
        re.findall(r'data-rows="(/trends/[a-z_]+\.json)"', dashboard.page("/-/dashboards/trends?hours=24").text)
    )
    assert len(charts) == 7
    for path in charts:
        assert dashboard.page(f"{path}?hours=24").json(), path
    assert dashboard.page("/trends/other.json").status_code == 404


@pytest.mark.parametrize("hours", ["0", "-1", "2161", "002000999", "9" * 30, "²", "x"])
def test_a_span_that_the_trends_do_not_offer_is_a_day(dashboard: Any, hours: str) -> None:
    day = dashboard.page("/trends/queue_depth.json?hours=24").json()
    answer = dashboard.page(f"/trends/queue_depth.json?hours={hours}")
    assert answer.status_code == 200
    assert len(answer.json()) == len(day)


def test_queue_depth_and_percentiles_are_right(dashboard: Any) -> None:
    depth = dashboard.page("/trends/queue_depth.json?hours=24").json()
    assert depth[-1]["waiting"] == 3, "the seeded fleet has three tasks that wait"
    longest = {row["share"]: row["minutes"] for row in dashboard.page("/trends/duration.json?hours=24").json()}
    assert longest["p95"] == pytest.approx(195 / 60, abs=0.5) or longest["p50"] == pytest.approx(190 / 60, abs=0.5)


def test_a_node_that_has_gone_silent_stands_out(dashboard: Any) -> None:
    stale = re.findall(r'<tr id="node-[^"]+" class="stale">\s*<td[^>]*><strong><a[^>]*>([^<]+)', dashboard.page().text)
    assert "edge-oslo-3" in stale
    assert "edge-berlin-1" not in stale
    assert "legacy-box" not in stale, "an older runner may be silent for three minutes"
    assert "vault-7" not in stale, "it is pinged once a minute"
    assert "Silent for longer" not in dashboard.page("/node/vault-7").text
    assert "Silent for longer" in dashboard.page("/node/edge-oslo-3").text


def test_when_nothing_has_been_heard_the_page_doubts_the_control_plane(dashboard: Any) -> None:
    doubt, long_ago = "Is the control plane running?", "2026-01-31T12:00:00.000Z"
    db = connect(dashboard.data_dir / "qb.db")
    try:
        seen = db.execute("SELECT last_seen_at, id FROM nodes").fetchall()
        happened = db.execute("SELECT at, id FROM task_events").fetchall()
        db.execute("UPDATE nodes SET last_seen_at = ?", (iso(utc_now()),))
        assert doubt not in dashboard.page().text
        db.execute("UPDATE nodes SET last_seen_at = ?", (long_ago,))
        db.execute("UPDATE task_events SET at = ?", (iso(utc_now()),))
        assert doubt not in dashboard.page().text, "something has just happened"
        db.execute("UPDATE task_events SET at = ?", (long_ago,))
        assert doubt in dashboard.page().text
    finally:
        db.executemany("UPDATE nodes SET last_seen_at = ? WHERE id = ?", [tuple(row) for row in seen])
        db.executemany("UPDATE task_events SET at = ? WHERE id = ?", [tuple(row) for row in happened])
        db.close()


@pytest.mark.parametrize(
    "path", ["/", "/tasks", "/task/{done}", "/node/edge-berlin-1", "/audit", "/-/dashboards/trends?hours=24", "/qb",
             "/qb/tasks", "/qb/queue"]
)  # fmt: skip
def test_every_page_says_which_zone_its_times_are_of(dashboard: Any, path: str) -> None:
    page = dashboard.page(path.format(**dashboard.tasks))
    assert page.status_code == 200
    assert re.search(r"<footer[^>]*>[^<]*Times are UTC", page.text)


def test_the_next_run_of_a_schedule_of_another_zone_is_told_in_utc(dashboard: Any) -> None:
    with closing(connect(dashboard.data_dir / "qb.db")) as db:
        task_id = dashboard.seeder.Seeder(db).task("Count the votes", age=5)
        db.execute("UPDATE tasks SET schedule_id = id WHERE id = ?", (task_id,))
        db.execute(
            "INSERT INTO schedules (task_id, recurrence, time_zone, next_run_at, created_at) VALUES (?, ?, ?, ?, ?)",
            (task_id, "0 6 * * 1-5", "Europe/Oslo", "2026-11-28T21:13:58.000Z", iso(utc_now())),
        )
        try:
            row = dashboard.page("/tasks").text.partition(f'id="schedule-{task_id}"')[2].partition("</tr>")[0]
        finally:
            db.execute("DELETE FROM schedules WHERE task_id = ?", (task_id,))
    assert "Europe/Oslo" in row
    assert "2026-11-28 21:13:58 UTC" in row


def test_an_empty_fleet_says_what_to_do_next(empty_dashboard: Any) -> None:
    page = empty_dashboard.page()
    assert page.status_code == 200
    assert "No nodes yet" in page.text
    assert "python -m remote_runner pull" in page.text
    assert "qb task create" in page.text


def test_a_task_page_tells_the_whole_story(dashboard: Any) -> None:
    page = dashboard.page(f"/task/{dashboard.tasks['done']}")
    assert page.status_code == 200
    wanted = (
        "Read sales.csv, find", "1,240 rows read", "agent success", "exit 0", "reading sales.csv", "report.md",
        "2.3 KiB", "edge-berlin-1", "any node", "Three regions are weak", "tool call", "18,240",
    )  # fmt: skip
    for word in wanted:
        assert word in page.text, word


def test_a_task_page_shows_what_the_agent_asked_and_logged(dashboard: Any) -> None:
    page = dashboard.page(f"/task/{dashboard.tasks['running']}")
    wanted = ("Clause 9 is missing", "Go on, and say so", "waits for an answer", "qb task answer", "clauses", "3 times")
    for word in wanted:
        assert word in page.text, word
    assert "&lt;script&gt;" in page.text
    assert not ELEMENTS_OF_OURS.search(page.text)


def test_an_unknown_task_is_not_found(dashboard: Any) -> None:
    assert dashboard.page("/task/00000000-0000-4000-8000-000000000000").status_code == 404


@pytest.mark.parametrize("which", ["/", "/tasks", "hostile", "done"])
def test_text_of_agents_and_nodes_is_inert(dashboard: Any, which: str) -> None:
    page = dashboard.page(which if which.startswith("/") else f"/task/{dashboard.tasks[which]}")
    assert "&lt;script&gt;" in page.text
    assert not ELEMENTS_OF_OURS.search(page.text)
    assert not CONTROL.search(page.text)


@pytest.mark.parametrize("path", ["/qb/nodes", "/qb/task_specs", "/qb/crush_messages", "/qb/tasks_by_status?status="])
def test_text_is_inert_in_datasettes_own_tables_too(dashboard: Any, path: str) -> None:
    page = dashboard.page(path)
    assert page.status_code == 200
    assert 'document.title="owned"' not in page.text
    assert "<img src=x" not in page.text
    assert not CONTROL.search(page.text)


def test_our_pages_load_nothing_from_elsewhere_and_run_no_inline_script(dashboard: Any) -> None:
    page = dashboard.page()
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page.text)
    for asset in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text):
        assert dashboard.page(asset).status_code == 200, asset
    for path in ("/qb", "/qb/tasks", "/qb/tasks/1", "/qb/queue", "/qb?sql=select+1", "/-/dashboards/trends?hours=24"):
        page = dashboard.page(path)
        policy = dict(each.split(" ", 1) for each in page.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy.get("script-src", "'self'") == "'self'", path
        assert not re.search(r"<script(?![^>]* src=)|<style|<[a-z][^>]*\s(?:style|on[a-z]+)=", page.text), path


@pytest.mark.parametrize("query", QUERIES)
def test_each_canned_query_has_a_description_and_finds_rows(dashboard: Any, query: str) -> None:
    name, _, parameters = query.partition("?")
    found = dashboard.page(f"/qb/{name}.json?_shape=objects&{parameters}").json()
    assert found["ok"] and found["rows"], found
    page = dashboard.page(f"/qb/{query}")
    assert 'class="metadata-description"' in page.text
    assert 'href="/task/' in page.text


def test_the_key_file_cannot_be_reached(dashboard: Any) -> None:
    assert [each["name"] for each in dashboard.page("/-/databases.json").json()] == ["qb"]
    keys = dashboard.data_dir / "keys.db"
    attempts = [
        f"/qb.json?sql=attach+database+'{keys}'+as+k",
        f"/qb.json?sql=select+*+from+pragma_database_list;attach+'{keys}'+as+k",
        f"/qb.json?sql=select+readfile('{keys}')",
        f"/qb.json?sql=select+load_extension('{keys}')",
        "/keys.json", "/keys.db", "/assets/../../keys.db", "/assets/%2e%2e/%2e%2e/keys.db", f"/assets/{keys}", "/qb.db",
    ]  # fmt: skip
    for path in attempts:
        answer = dashboard.page(path)
        assert answer.status_code >= 400, path
        assert "nobody may read" not in answer.text


@pytest.mark.parametrize(
    "statement",
    ["delete from tasks", "update nodes set state='disabled'", "with x as (select 1) delete from tasks", "vacuum"],
)
def test_writes_are_refused(dashboard: Any, statement: str) -> None:
    answer = dashboard.http.get("/qb.json", params={"sql": statement})
    assert answer.status_code == 400
    assert dashboard.page("/qb.json?sql=select+count(*)+as+n+from+tasks&_shape=array").json()[0]["n"] >= 7


def test_our_pages_only_answer_reads(dashboard: Any) -> None:
    assert dashboard.http.post("/").status_code in (403, 405)


def test_a_query_that_takes_too_long_is_stopped(dashboard: Any) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    answer = dashboard.http.get("/qb.json", params={"sql": endless})
    assert answer.status_code == 400
    assert "interrupted" in answer.text.lower() or "time limit" in answer.text.lower()


def test_a_row_committed_meanwhile_shows_within_five_seconds(dashboard: Any) -> None:
    assert "Freshly made" not in dashboard.page("/tasks").text
    db = connect(dashboard.data_dir / "qb.db")
    try:
        task_id = dashboard.seeder.Seeder(db).task("Freshly made", age=0)
        deadline = time.monotonic() + 5
        while f'href="/task/{task_id}"' not in dashboard.page("/tasks").text:
            assert time.monotonic() < deadline, "the page does not show the new task"
    finally:
        db.execute("DELETE FROM task_events WHERE task_id = ?", (task_id,))
        db.execute("DELETE FROM task_specs WHERE task_id = ?", (task_id,))
        db.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
        db.close()
