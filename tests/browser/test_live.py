"""Pages that keep themselves current, and leave the reader alone while they do."""

import pytest
from playwright.sync_api import Browser, expect

from qb.store import tasks as task_store
from qb.store.database import connect
from tests.browser.conftest import visit
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
