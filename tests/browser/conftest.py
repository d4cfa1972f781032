"""A real chromium in front of a real Datasette: over a large fleet, and over a database that has just been made."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from qb.domain.times import iso, utc_now
from qb.store.database import connect
from tests.dashboard.conftest import Dashboard, served
from tests.dashboard.seed_fleet import make

NO_BROWSER = "QB_TEST_NO_BROWSER"
HERE = Path(__file__).parent
SCREENSHOTS = HERE.parents[1] / ".state" / "screenshots"
SIZES = {"desktop": (1280, 900), "phone": (390, 844), "readme": (1280, 640)}
QUIET = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run --disable-dev-shm-usage"
).split()
TIMEOUT_MS = 60_000


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One browser for all of them; with QB_TEST_NO_BROWSER=1 leave them out, and say so."""
    ours = [item for item in items if HERE in item.path.parents]
    if os.environ.get(NO_BROWSER) == "1":
        items[:] = [item for item in items if item not in ours]
        config.hook.pytest_deselected(items=ours)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"{NO_BROWSER}=1: {len(ours)} tests that need a browser are left out", yellow=True)
    for item in ours:
        item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium, headless; fails where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail(f"chromium is not installed: `make browser` installs it; {NO_BROWSER}=1 goes without")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dashboard, dict[str, str]]]:
    """A dashboard over 50 nodes and 5,000 tasks, and the ids of a few of them by a short name."""
    data_dir = tmp_path_factory.mktemp("fleet")
    named = make(data_dir)
    with served(data_dir, seeded=False) as running:
        yield running, named


@pytest.fixture(scope="session")
def tidy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """The same fleet without text that tries to be markup: for the pictures of the README."""
    data_dir = tmp_path_factory.mktemp("tidy")
    make(data_dir, unruly=False)
    with served(data_dir, seeded=False) as running:
        yield running


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard over a database that `qb init` has just made."""
    with served(tmp_path_factory.mktemp("nothing"), seeded=False) as running:
        yield running


@contextmanager
def visit(
    browser: Browser,
    dashboard: Dashboard,
    *,
    size: str = "desktop",
    scheme: str = "light",
    zone: str = "UTC",
    refused: int = 200,
) -> Iterator[Page]:
    """A page of a browser that is signed in; its clock shows the time of `zone`.

    Fails afterwards when a page logged an error, opened a dialog, or asked for anything but the dashboard.
    An answer with the status `refused` is what the test is about.
    """
    width, height = SIZES[size]
    complaints: list[str] = []
    keep_alive(dashboard)
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        timezone_id=zone,
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()

    def outside(request: Request) -> None:
        if not request.url.startswith((dashboard.url, "data:", "blob:")):
            complaints.append(f"asked for {request.url}")

    page.on("request", outside)
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss())[0])
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    try:
        page.goto(dashboard.link())
        yield page
        assert page.title() != "owned"
    finally:
        context.close()
    meant = ("ERR_INTERNET_DISCONNECTED", f"a status of {refused} ")
    assert [each for each in complaints if not any(words in each for words in meant)] == []


def keep_alive(dashboard: Dashboard) -> None:
    """Have the nodes that are not offline speak, as they would."""
    db = connect(dashboard.data_dir / "qb.db")
    try:
        db.execute("UPDATE nodes SET last_seen_at = ? WHERE status <> 'offline'", (iso(utc_now()),))
    finally:
        db.close()
