"""Every page, of a large fleet and of none, on a desk and on a phone, by day and by night."""

from importlib.resources import files
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from qb.store.database import connect
from tests.browser.conftest import SCREENSHOTS, visit
from tests.dashboard.conftest import Dashboard

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
RUN_AXE = "axe.run({resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})"
GRAVE = ("serious", "critical")
CHARTS = 7
# Numbers what a mouse could use, and says how much there is; a page that has much is cut to what comes first.
MARK_USABLE = """() => {
    for (const row of document.querySelectorAll('tbody tr:nth-child(n + 4)')) row.remove();
    const usable = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
        .filter((each) => each.checkVisibility() && each.type !== 'hidden');
    usable.forEach((each, number) => { each.usable = number; });
    return usable.length;
}"""
# The texts of charts that reach over the edge of their drawing, where they are cut.
CUT_TEXTS = """() => [...document.querySelectorAll('.plot svg')].flatMap((svg) => {
    const edge = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter((each) => {
        const place = each.getBoundingClientRect();
        const within = place.left >= edge.left - 1 && place.right <= edge.right + 1;
        return each.checkVisibility({opacityProperty: true}) && !within;
    }).map((each) => each.textContent);
})"""
# What a table's cells hold that reaches into their neighbours.
SPILT = """() => [...document.querySelectorAll('.rows-and-columns td')]
    .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.textContent)"""

PLAIN = {
    "fleet": "/", "tasks": "/tasks", "queue": "/tasks#waiting", "finished": "/tasks#finished",
    "audit": "/audit", "trends": "/-/dashboards/trends?hours=24", "data": "/qb",
    "failed": "/tasks?status=error", "query": "/qb/failures_by_reason?days=", "table": "/qb/nodes",
    "sql": "/qb?sql=select+name,+status+from+nodes+order+by+name", "attempts": "/qb/attempts",
    "by_status": "/qb/tasks_by_status", "specs": "/qb/task_specs?_where=prompt+like+'<script>%25'",
    "where": "/qb/nodes?_where=slots>1", "boards": "/-/dashboards", "settings": "/-/settings",
}  # fmt: skip
OF_A_TASK = {"task": "done", "hostile": "hostile", "waiting": "stuck", "dialogue": "running"}
OF_ROWS = {
    "schedule": ("task", "SELECT task_id FROM schedules"),
    "node": ("node", "SELECT id FROM nodes WHERE name = 'edge-graz-6'"),
    "transcript": ("task", "SELECT id FROM tasks WHERE crush_session_id IS NOT NULL AND status = 'error' ORDER BY seq"),
    "old_node": ("node", "SELECT id FROM nodes WHERE name = 'legacy-box'"),
    "row": ("qb/tasks", "SELECT seq FROM tasks WHERE title IS NOT NULL ORDER BY seq DESC"),
    "node_row": ("qb/nodes", "SELECT id FROM nodes WHERE name = 'edge-graz-6'"),
    "spec_row": ("qb/task_specs", "SELECT task_id FROM task_specs WHERE prompt LIKE '<script>%'"),
}
LOOKS = [("desktop", "light"), ("phone", "dark")]
EMPTY_LOOKS = [("desktop", "dark"), ("phone", "light")]


def _path(name: str, dashboard: Dashboard, tasks: dict[str, str]) -> str:
    if name in PLAIN:
        return PLAIN[name]
    if name in OF_A_TASK:
        return f"/task/{tasks[OF_A_TASK[name]]}"
    db = connect(dashboard.data_dir / "qb.db")
    try:
        kind, sql = OF_ROWS[name]
        return f"/{kind}/{db.execute(sql).fetchone()[0]}"
    finally:
        db.close()


ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
ERRORS = {
    "missing": ("/task/00000000-0000-4000-8000-000000000000", 404, "There is no task"),
    "shut": ("/qb/webhook_deliveries", 403, "shut for every role"),
    "cut": (f"/qb?sql={quote(ENDLESS)}", 400, "took longer than a second"),
}


def _look(page: Page, name: str) -> None:
    """Take the page's picture and check what must hold of every page."""
    if name.startswith("trends"):
        page.wait_for_selector(f"body[data-drawn='{CHARTS}']")
        assert page.evaluate(CUT_TEXTS) == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), "the page scrolls sideways"
    assert page.evaluate(SPILT) == []
    assert page.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(RUN_AXE)["violations"]
    told = [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in GRAVE
    ]
    assert told == []


@pytest.mark.parametrize("name", [*PLAIN, *OF_A_TASK, *OF_ROWS])
@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_page_of_a_large_fleet_is_sound(
    browser: Browser, fleet: tuple[Dashboard, dict[str, str]], name: str, size: str, scheme: str
) -> None:
    dashboard, tasks = fleet
    with visit(browser, dashboard, size=size, scheme=scheme) as page:
        answer = page.goto(dashboard.url + _path(name, dashboard, tasks))
        assert answer is not None
        assert answer.status == 200
        _look(page, f"{name}-{size}-{scheme}")


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize(("size", "scheme"), [*LOOKS, *EMPTY_LOOKS])
def test_a_page_of_an_error_is_sound(browser: Browser, nothing: Dashboard, name: str, size: str, scheme: str) -> None:
    path, status, said = ERRORS[name]
    with visit(browser, nothing, size=size, scheme=scheme, refused=status) as page:
        answer = page.goto(nothing.url + path)
        assert answer is not None
        assert answer.status == status
        expect(page.locator("main")).to_contain_text(said)
        _look(page, f"{name}-error-{size}-{scheme}")
        expect(page.locator(".leave button")).to_have_count(1)
        page.locator(".back a").click()
        expect(page.locator("h1")).to_have_text("Tasks" if name == "missing" else "Data")


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("size", "scheme"), EMPTY_LOOKS)
def test_a_page_of_no_fleet_is_sound(browser: Browser, nothing: Dashboard, name: str, size: str, scheme: str) -> None:
    with visit(browser, nothing, size=size, scheme=scheme) as page:
        answer = page.goto(nothing.url + PLAIN[name])
        assert answer is not None
        assert answer.status == 200
        _look(page, f"{name}-empty-{size}-{scheme}")


@pytest.mark.parametrize(
    ("path", "command"), [("/", "remote_runner"), ("/tasks", "qb task create"), ("/audit", "qb token")]
)
def test_where_there_is_nothing_the_page_says_what_to_do(
    browser: Browser, nothing: Dashboard, path: str, command: str
) -> None:
    with visit(browser, nothing) as page:
        page.goto(nothing.url + path)
        assert command in page.locator(".empty").inner_text()


@pytest.mark.parametrize("name", ["fleet", "failed", "dialogue", "transcript", "node", "query", "table", "sql", "data"])
def test_the_keyboard_reaches_all_that_can_be_used(
    browser: Browser, fleet: tuple[Dashboard, dict[str, str]], name: str
) -> None:
    dashboard, tasks = fleet
    with visit(browser, dashboard) as page:
        page.goto(dashboard.url + _path(name, dashboard, tasks))
        wanted = page.evaluate(MARK_USABLE)
        reached = set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.usable ?? -1"))
        assert reached >= set(range(wanted))


def test_the_keyboard_reaches_the_content_and_every_page(browser: Browser, nothing: Dashboard) -> None:
    with visit(browser, nothing) as page:
        page.goto(nothing.url)
        reached = []
        for _ in range(7):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.textContent"))
        assert reached == ["Skip to the content", "All-Time Quarterback", "Fleet", "Tasks", "Trends", "Audit", "Data"]
        page.keyboard.press("Enter")
        page.wait_for_url("**/qb")


@pytest.mark.parametrize(("name", "path"), [("fleet", "/"), ("trends", "/-/dashboards/trends?hours=72")])
def test_the_pictures_of_the_readme(browser: Browser, tidy: Dashboard, name: str, path: str) -> None:
    with visit(browser, tidy, size="readme") as page:
        page.goto(tidy.url + path)
        _look(page, f"{name}-readme")


def test_sign_in_is_sound(browser: Browser, nothing: Dashboard) -> None:
    with visit(browser, nothing, size="phone") as page:
        page.context.clear_cookies()
        page.goto(nothing.url)
        assert "Sign in" in page.title()
        _look(page, "sign-in-phone-light")
