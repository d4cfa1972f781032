"""Pages that keep themselves current, and leave the reader alone while they do."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect

from qb.domain.times import iso, utc_now
from qb.store import output
from qb.store import tasks as task_store
from qb.store.database import connect
from tests.browser.conftest import keep_alive, visit
from tests.dashboard.conftest import Dashboard
from tests.dashboard.seed import HOSTILE, Seeder

Fleet = tuple[Dashboard, dict[str, str]]
WITHIN_MS = 5_000


def _add(dashboard: Dashboard, prompt: str) -> str:
    db = connect(dashboard.data_dir / "qb.db")
    try:
        return Seeder(db).task(prompt, age=0, priority=99)
    finally:
        db.close()


def test_a_new_row_appears_by_itself_and_the_reader_stays_where_he_is(browser: Browser, fleet: Fleet) -> None:
    dashboard, _ = fleet
    with visit(browser, dashboard) as page:
        page.goto(f"{dashboard.url}/tasks")
        page.fill("input[name=text]", "half a wo")
        page.evaluate("document.querySelector('.queue tr:nth-child(3)').scrollIntoView()")
        link = page.locator(".queue tr:nth-child(20) a").first
        link.focus(timeout=5000)
        page.evaluate("document.activeElement.mine = true")
        before = page.evaluate("scrollY")
        assert before > 500
        task_id = _add(dashboard, "Freshly made")
        expect(page.locator(f"#task-{task_id}")).to_be_attached(timeout=WITHIN_MS)
        # what is in view may move by the row that came above it, and by no more
        row = page.locator(f"#task-{task_id}").bounding_box()
        assert row is not None
        assert abs(page.evaluate("scrollY") - before) <= row["height"] + 1
        assert page.evaluate("document.activeElement.mine"), "the focus was lost"
        assert page.input_value("input[name=text]") == "half a wo"
        assert page.inner_text("#freshness") == "Live"


@pytest.mark.parametrize("path", ["/", "/tasks", "/task/{done}", "/audit"])
def test_a_renewal_replaces_nothing_that_is_still_there(browser: Browser, fleet: Fleet, path: str) -> None:
    dashboard, tasks = fleet
    with visit(browser, dashboard) as page:
        page.goto(dashboard.url + path.format(**tasks))
        page.evaluate("""() => {
            scrollTo(0, 300);
            window.before = [...document.querySelectorAll('main *')];
        }""")
        at = page.evaluate("scrollY")
        for _ in range(2):
            with page.expect_response(
                lambda answer: answer.request.resource_type == "fetch", timeout=20_000
            ) as renewed:
                pass
            renewed.value.finished()
        # times grow by a word now and then ("1 min" to "1 min 1 s" stays one element): no element may go
        assert page.evaluate("window.before.filter((each) => !each.isConnected).length") == 0
        assert page.evaluate("scrollY") == at


def test_what_is_folded_out_stays_so_and_the_output_follows_its_end(browser: Browser, fleet: Fleet) -> None:
    dashboard, tasks = fleet
    with visit(browser, dashboard) as page:
        page.goto(f"{dashboard.url}/task/{tasks['running']}")
        page.locator("#events > summary").click()
        closed = page.locator("#events").get_attribute("open") is None
        db = connect(dashboard.data_dir / "qb.db")
        try:
            row = task_store.get(db, tasks["running"])
            assert row is not None
            db.execute("UPDATE tasks SET message = 'Clause 15 of 22' WHERE id = ?", (row["id"],))
        finally:
            db.close()
        expect(page.locator("main")).to_contain_text("Clause 15 of 22", timeout=WITHIN_MS)
        assert (page.locator("#events").get_attribute("open") is None) is closed


def test_a_page_that_cannot_be_renewed_says_how_old_it_is(browser: Browser, nothing: Dashboard) -> None:
    with visit(browser, nothing) as page:
        page.goto(nothing.url)
        expect(page.locator("#freshness")).to_have_text("Live")
        page.context.set_offline(True)
        expect(page.locator("#freshness")).to_contain_text("the dashboard does not answer", timeout=15_000)
        page.context.set_offline(False)
        expect(page.locator("#freshness")).to_have_text("Live", timeout=15_000)


def test_a_page_that_is_kept_while_text_is_marked_says_so(browser: Browser, nothing: Dashboard) -> None:
    with visit(browser, nothing) as page:
        page.goto(nothing.url)
        page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        told = re.compile(r"Not current: \d+ s old, kept as it is while text is marked")
        expect(page.locator("#freshness")).to_have_text(told, timeout=20_000)
        page.evaluate("getSelection().removeAllRanges()")
        expect(page.locator("#freshness")).to_have_text("Live", timeout=15_000)


def test_trends_that_cannot_be_renewed_say_how_old_they_are(browser: Browser, nothing: Dashboard) -> None:
    with visit(browser, nothing) as page:
        page.goto(f"{nothing.url}/-/dashboards/trends?hours=24")
        page.wait_for_selector("body[data-drawn]")
        expect(page.locator("#freshness")).to_have_text("Live")
        page.context.set_offline(True)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        told = re.compile(r"Not current: ([2-9]|\d\d) s old, the dashboard does not answer")
        expect(page.locator("#freshness")).to_have_text(told, timeout=15_000)
        page.context.set_offline(False)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#freshness")).to_have_text("Live", timeout=15_000)


def test_trends_say_when_nobody_is_heard_from_any_more(browser: Browser, tidy: Dashboard) -> None:
    with visit(browser, tidy) as page:
        page.goto(f"{tidy.url}/-/dashboards/trends?hours=24")
        page.wait_for_selector("body[data-drawn='7']")
        assert page.locator("#quiet").count() == 0
        waiting = page.inner_text("#waiting-now")
        drawn = page.locator(".plot svg").first.element_handle()
        long_ago = iso(utc_now() - timedelta(minutes=5))
        db = connect(tidy.data_dir / "qb.db")
        try:
            Seeder(db).task("One more that waits", age=0)
            db.execute("UPDATE nodes SET last_seen_at = min(last_seen_at, ?)", (long_ago,))
            db.execute("UPDATE task_events SET at = ? WHERE id = (SELECT max(id) FROM task_events)", (long_ago,))
        finally:
            db.close()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#quiet")).to_contain_text("Is the control plane running?", timeout=15_000)
        expect(page.locator("#waiting-now")).not_to_have_text(waiting)
        assert drawn.evaluate("each => each.isConnected"), "what has not changed is not drawn anew"
        keep_alive(tidy)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#quiet")).to_have_count(0, timeout=15_000)


@pytest.mark.parametrize("path", ["/tasks?status=error", "/-/dashboards/trends?hours=6"])
def test_a_page_whose_session_has_ended_leads_to_signing_in_and_back(
    browser: Browser, nothing: Dashboard, path: str
) -> None:
    with visit(browser, nothing) as page:
        page.goto(nothing.url + path)
        if "trends" in path:
            page.wait_for_selector("body[data-drawn]")
        page.context.clear_cookies()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        told = re.compile(r"Not current: \d+ s old, you are signed out: sign in again")
        expect(page.locator("#freshness")).to_have_text(told, timeout=15_000)
        page.click("#freshness a")
        page.wait_for_url(re.compile(r"/-/sign-in\?next="))
        page.goto(f"{nothing.link()}&{page.url.partition('?')[2]}")
        assert page.url == nothing.url + path


def test_output_that_comes_while_the_page_is_open_is_shown_and_followed_at_its_end(
    browser: Browser, fleet: Fleet
) -> None:
    dashboard, _ = fleet
    at_end = "each => each.scrollTop > 0 && each.scrollHeight - each.scrollTop - each.clientHeight < 8"
    db = connect(dashboard.data_dir / "qb.db")

    def write(first: int, last: int) -> None:
        lines = [output.Line(seq, "stdout", s.at(0), f"line {seq}\n", 9) for seq in range(first, last + 1)]
        output.add(db, output.log(db, task_id, 1), lines, last_seq=last)

    try:
        s = Seeder(db)
        node_id = db.execute("SELECT id FROM nodes WHERE name = 'edge-graz-6'").fetchone()[0]
        task_id = s.task("Say much", age=5)
        s.start(task_id, node_id, ago=3)
        with visit(browser, dashboard) as page:
            page.goto(f"{dashboard.url}/task/{task_id}")
            expect(page.locator("main")).to_contain_text("The container has written nothing.")
            for first, last in ((1, 120), (121, 200)):
                write(first, last)
                expect(page.locator("#output")).to_contain_text(f"line {last}\n", timeout=WITHIN_MS)
                assert page.locator("#output").evaluate(at_end), f"line {last} is out of sight"
            page.locator("#output").evaluate("each => { each.scrollTop = 40; }")
            write(201, 220)
            expect(page.locator("#output")).to_contain_text("line 220\n", timeout=WITHIN_MS)
            assert page.locator("#output").evaluate("each => each.scrollTop") == 40, "the reader is reading there"
    finally:
        db.close()


@pytest.mark.parametrize("path", ["/", "/tasks", "/task/{hostile}", "/task/{done}", "/qb/nodes", "/qb/task_specs"])
def test_text_that_tries_to_be_markup_stays_text_when_a_page_renews_itself(
    browser: Browser, fleet: Fleet, path: str
) -> None:
    dashboard, tasks = fleet
    with visit(browser, dashboard) as page:
        page.goto(dashboard.url + path.format(**tasks))
        if not path.startswith("/qb"):
            with page.expect_response(lambda answer: answer.request.resource_type == "fetch", timeout=20_000):
                pass
            assert HOSTILE[:20] in page.inner_text("main")
        assert page.locator("main script:not([src]), main img").count() == 0
        assert page.title() != "owned"
        assert "\u202e" not in page.inner_text("main")
