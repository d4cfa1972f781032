"""The dashboard out of a wheel, where there is no checkout, and under a path of a larger site."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
IN_THE_WHEEL = ("metadata.yml", "settings.json", "plugins/guard.py", "templates/fleet.html", "static/refresh.js")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation puts into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True, timeout=120)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def test_an_installed_dashboard_brings_its_configuration(
    unpacked: Path, dashboard_over: Callable[..., AbstractContextManager[Any]], seeded: Path
) -> None:
    for name in IN_THE_WHEEL:
        assert (unpacked / "qb" / "dashboard" / "site" / name).is_file(), name
    with dashboard_over(seeded, env={**os.environ, "PYTHONPATH": str(unpacked)}) as running:
        page = running.page()
        assert (page.status_code, "edge-berlin-1" in page.text) == (200, True)
        assert running.page("/assets/dashboard.css").status_code == 200
        line = Path(f"/proc/{running.process}/cmdline").read_text()
        assert str(unpacked) in line
        assert str(CHECKOUT / "datasette") not in line


def test_under_a_path_every_link_stays_there(
    dashboard_over: Callable[..., AbstractContextManager[Any]], seeded: Path
) -> None:
    with dashboard_over(seeded, path="/fleet") as running:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/fleet/-/sign-in\?link=.+", running.link())
        with running.visitor() as stranger:
            sent = stranger.get("/fleet/qb/queue?_size=5").headers["location"]
            assert sent == "/fleet/-/sign-in?next=/qb/queue%3F_size%3D5"
            begun = stranger.get(running.link() + "&next=/qb/queue%3F_size%3D5")
            assert begun.headers["location"] == "/fleet/qb/queue?_size=5"
        waiting, seen = ["/fleet/", "/fleet/qb/nodes", "/fleet/-/dashboards/trends?hours=24"], set[str]()
        while waiting and len(seen) < 60:
            path = waiting.pop(0)
            if path in seen or path.startswith("/fleet/-/logout"):
                continue
            seen.add(path)
            answer = running.page(path)
            assert answer.status_code in (200, 302), path
            assert answer.headers.get("location", "/fleet/").startswith("/fleet/"), path
            local = re.findall(r'(?:href|src|action|data-rows)="(/[^"#]*)"', answer.text.replace("&amp;", "&"))
            assert [each for each in local if not each.startswith("/fleet/")] == [], path
            waiting += local
        assert len(seen) == 60


def test_under_a_path_redirects_stay_there_and_nothing_lies_behind_it_twice(
    dashboard_over: Callable[..., AbstractContextManager[Any]], seeded: Path
) -> None:
    led = {
        "/-/dashboards/trends": "/fleet/-/dashboards/trends?hours=24",
        "/tasks/": "/fleet/tasks",
        "/qb/ta%20sks": "/fleet/qb/ta~20sks",
        "/qb/tasks?_sort_by_desc=1&_sort=seq": "/fleet/qb/tasks?_sort_desc=seq",
    }
    with dashboard_over(seeded, path="/fleet") as running:
        for prefix in ("/fleet", ""):
            for path, to in led.items():
                assert running.page(prefix + path).headers["location"] == to, prefix
        for hidden in ("threads.json", "metadata.json", "plugins", "allow-debug", "messages", "permissions"):
            assert running.page(f"/fleet/fleet/-/{hidden}").status_code == 404, hidden
