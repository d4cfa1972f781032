"""How the dashboard's process runs beside the control plane."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from qb.dashboard.place import Place
from qb.store.database import connect
from qb.store.migrations import migrate
from tests.dashboard.conftest import served
from tests.dashboard.seed import Seeder


def test_it_takes_only_the_processor_time_that_others_leave(dashboard: Any) -> None:
    assert dashboard.page().status_code == 200
    threads = [int(thread.name) for thread in Path(f"/proc/{dashboard.process}/task").iterdir()]
    assert len(threads) > 1, "one for the pages, some for the queries"
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}


def test_when_memory_runs_out_it_goes_before_the_control_plane(dashboard: Any) -> None:
    assert int(Path(f"/proc/{dashboard.process}/oom_score_adj").read_text()) >= 500


@pytest.mark.parametrize("name", ["q b#1%20?", "100%25", "ü"])
def test_the_data_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / name
    data_dir.mkdir()
    with served(data_dir, seeded=True) as running:
        assert "edge-berlin-1" in running.page().text
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing beside it"


@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_database_that_takes_the_place_of_another_is_shown(tmp_path: Path, whole_folder: bool) -> None:
    shown, other = tmp_path / "shown", tmp_path / "other"
    for folder, name in ((shown, "box-before"), (other, "box-after")):
        folder.mkdir()
        migrate(folder / "qb.db")
        with closing(connect(folder / "qb.db")) as db:
            Seeder(db).node(name, seen=1)
    with served(shown, seeded=False) as running:
        assert all("box-before" in running.page().text for _ in range(6)), "each of the threads has opened it"
        before = shown if whole_folder else shown / "qb.db"
        before.rename(tmp_path / "history")
        for path in ("/", "/qb/nodes", "/qb/nodes.json"):
            assert running.page(path).status_code == 503, path
        (other if whole_folder else other / "qb.db").rename(before)
        for _ in range(6):
            assert "box-after" in running.page().text
            assert "box-after" in running.page("/qb/nodes").text


@pytest.mark.parametrize("path", ["/qb", "/task/", "/-", "/assets"])
def test_a_path_that_is_one_of_its_own_is_refused(seeded: Path, path: str) -> None:
    failed = _started(seeded, "127.0.0.1", 8001, "--url", f"https://example.org{path}")
    assert failed.returncode == 1
    assert f"under {path.rstrip('/')} " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert Place.of(seeded).address() is None


def _started(data_dir: Path, host: str, port: int, *more: str) -> "subprocess.CompletedProcess[str]":
    """What a dashboard says that cannot be started."""
    command = [
        sys.executable,
        "-m",
        "qb",
        "dashboard",
        "--data-dir",
        str(data_dir),
        "--host",
        host,
        "--port",
        str(port),
        *more,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0"])  # noqa: S104 - taken, so not bound
def test_a_dashboard_whose_port_is_taken_says_so_and_leaves_the_links_alone(seeded: Path, host: str) -> None:
    Place.of(seeded).note_address("http://127.0.0.1:8001")
    where, family = ("::1", socket.AF_INET6) if host == "::1" else ("127.0.0.1", socket.AF_INET)
    with socket.create_server((where, 0), family=family) as other:
        port = other.getsockname()[1]
        failed = _started(seeded, host, port)
    assert failed.returncode == 1
    assert f"port {port}" in failed.stderr
    assert "--port" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert Place.of(seeded).address() == "http://127.0.0.1:8001"


@pytest.mark.parametrize("host", ["198.51.100.7", "no-such-host.invalid"])
def test_an_address_that_this_machine_does_not_have_is_refused(seeded: Path, host: str) -> None:
    failed = _started(seeded, host, 8001)
    assert failed.returncode == 1
    assert host in failed.stderr
    assert "Traceback" not in failed.stderr
    assert Place.of(seeded).address() is None


def test_no_plugin_is_at_work_but_ours_and_the_charts(dashboard: Any) -> None:
    static = "/-/static-plugins"
    assert dashboard.page(f"{static}/datasette_dashboards/vega.min.js").status_code == 200
    assert dashboard.page(f"{static}/datasette_leaflet/leaflet-v1.7.1.js").status_code == 404
    rows = dashboard.page("/qb?sql=select+'**x**'+as+text_markdown").text
    assert "**x**" in rows


def test_the_page_of_all_tables_logs_no_error(dashboard: Any) -> None:
    for path in ("/qb", "/qb.json"):
        assert dashboard.page(path).status_code == 200
    log = (dashboard.data_dir / "datasette.log").read_text()
    assert "GET /qb.json" in log
    assert "ERROR" not in log
