"""What the charts of the trends say where one points at them, and which time they show."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from qb.contract.states import TaskStatus
from qb.domain.times import utc_now
from qb.store.database import connect
from tests.browser.conftest import SCREENSHOTS, visit
from tests.dashboard.conftest import Dashboard, served
from tests.dashboard.seed import Seeder

TOLD = {
    "tasks_per_hour": ["hour (UTC)", "outcome", "tasks"],
    "queue_depth": ["time (UTC)", "tasks waiting"],
    "wait": ["hour (UTC)", "share", "minutes"],
    "duration": ["hour (UTC)", "share", "minutes"],
    "failures": ["reason", "outcome", "tasks"],
    "cost": ["client", "model", "USD", "tokens"],
    "tokens": ["client", "model", "USD", "tokens"],
}
MARKS = ".plot :is(.mark-rect, .mark-symbol, .mark-area) > [aria-roledescription]"

LONG = [f"provider/a-model-with-a-long-name-{number}" for number in range(5)]
GROUND = "each => getComputedStyle(each).backgroundColor"


def _point_at(page: Page, mark: Locator) -> None:
    """The middle of a bar or point; of an area its foot at the right end: what waits now waits for minutes at least."""
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box is not None
    is_area = mark.get_attribute("aria-roledescription") == "area mark"
    page.mouse.move(
        box["x"] + box["width"] * 0.99 if is_area else box["x"] + box["width"] / 2,
        box["y"] + box["height"] - 1 if is_area else box["y"] + box["height"] / 2,
    )


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_a_chart_tells_what_is_pointed_at_in_plain_words_and_in_utc(
    browser: Browser, tidy: Dashboard, size: str, scheme: str
) -> None:
    # half an hour off, so that a local time could not pass for one of UTC
    with visit(browser, tidy, size=size, scheme=scheme, zone="America/St_Johns") as page:
        page.goto(f"{tidy.url}/-/dashboards/trends?hours=24")
        page.wait_for_selector("body[data-drawn='7']")
        for chart, names in TOLD.items():
            figure = page.locator(f"figure[data-chart={chart}]")
            _point_at(page, figure.locator(MARKS).first)
            told = page.locator("#vg-tooltip-element.visible")
            expect(told).to_be_visible()
            assert told.locator("td.key").all_inner_texts() == names, chart
            if chart == "tasks_per_hour":
                SCREENSHOTS.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=SCREENSHOTS / f"trends-tooltip-{size}-{scheme}.png")
                name, value = told.locator("td").nth(0).bounding_box(), told.locator("td").nth(1).bounding_box()
                assert name is not None and value is not None
                assert name["y"] == value["y"], "a line each, though tables are cards on a phone"
                assert told.evaluate(GROUND) == figure.evaluate(GROUND)
            if names[0] == "hour (UTC)":
                assert re.fullmatch(r"[A-Z][a-z]{2} \d\d \d\d:00", told.locator("td.value").first.inner_text())
            for description in figure.locator("[aria-label]").evaluate_all("all => all.map((each) => each.ariaLabel)"):
                assert "year-month" not in description and "_index" not in description, chart
            page.mouse.move(0, 0)
        captions = page.locator("figcaption").filter(has_text=re.compile("hour")).all_inner_texts()
        assert captions
        assert all("UTC" in caption for caption in captions)


def test_a_chart_shows_all_of_the_span_though_little_has_happened_in_it(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, seeded=False) as quiet, visit(browser, quiet) as page:
        with closing(connect(tmp_path / "qb.db")) as db:
            s = Seeder(db)
            task_id = s.task("Work", age=10 * 3600)
            s.start(task_id, s.node("box", seen=1), ago=10 * 3600 - 60)
            s.end(task_id, TaskStatus.SUCCESS, ago=10 * 3600 - 120)
        page.goto(f"{quiet.url}/-/dashboards/trends?hours=24")
        page.wait_for_selector("body[data-drawn='7']")
        bar = page.locator("figure[data-chart=tasks_per_hour] .mark-rect > path").bounding_box()
        plot = page.locator("figure[data-chart=tasks_per_hour] .background").first.bounding_box()
        point = page.locator("figure[data-chart=duration] .mark-symbol > path").first.bounding_box()
        narrow = page.locator("figure[data-chart=duration] .background").first.bounding_box()
    assert bar and plot and point and narrow
    assert bar["width"] == pytest.approx(plot["width"] / 25, abs=2), "an hour of 25, the last of which goes on"
    # 14 or 15 hours of 25 lie before it
    assert 13.5 / 25 < (bar["x"] - plot["x"]) / plot["width"] < 15.5 / 25
    assert 13.5 / 25 < (point["x"] + point["width"] / 2 - narrow["x"]) / narrow["width"] < 15.5 / 25


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_legend_of_models_with_long_names_is_whole(browser: Browser, nothing: Dashboard, size: str) -> None:
    hour = utc_now().isoformat()[:13]
    with closing(connect(nothing.data_dir / "qb.db")) as db:
        for model in LONG:
            db.execute("INSERT INTO hourly_spending VALUES (?, 'acme', ?, 5, 0.1)", (hour, model))
    try:
        with visit(browser, nothing, size=size) as page:
            page.goto(f"{nothing.url}/-/dashboards/trends?hours=24")
            page.wait_for_selector("body[data-drawn='7']")
            figure = page.locator("figure[data-chart=cost]")
            whole = figure.locator("svg").bounding_box()
            entries = [each.bounding_box() for each in figure.locator(".role-legend-label text").all()]
            assert whole is not None
            assert len(entries) == len(LONG)
            for entry in entries:
                assert entry is not None
                assert entry["x"] + entry["width"] <= whole["x"] + whole["width"] + 1
    finally:
        with closing(connect(nothing.data_dir / "qb.db")) as db:
            db.execute("DELETE FROM hourly_spending")
