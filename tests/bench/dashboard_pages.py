"""A million tasks: how long each page of the dashboard takes: what the navigation leads to, and one of each kind."""

import re
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from qb.dashboard.links import link
from qb.dashboard.roles import Role
from tests.bench.dashboard import shown
from tests.bench.figures import Figure, Say
from tests.bench.history import FINISHED, fill
from tests.bench.seed import add_nodes, add_tasks, filling
from tests.fixtures_server import new_server

TIMES = 20
BAR_MS = 300.0
NODES = 50
WAITING = 2_000
TABLES = (
    "/qb",
    "/qb/tasks",
    "/qb/tasks?_sort_desc=created_at",
    "/qb/task_events",
    "/qb/attempts",
    "/qb/nodes",
    "/qb/audit_log",
)


def dashboard_pages(say: Say) -> list[Figure]:
    """Milliseconds until a page is there, at the 95th percentile."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        data_dir = new_server(Path(folder) / "qb").data_dir
        with filling(data_dir) as db:
            nodes = add_nodes(db, NODES)
            fill(db, nodes[0], FINISHED)
            add_tasks(db, WAITING)
        say(f"{FINISHED:,} finished tasks, {WAITING:,} that wait, {NODES} nodes")
        with shown(data_dir) as url, httpx2.Client(base_url=url, timeout=30) as http:
            http.get(link(data_dir, "bench", Role.ANALYST, now=datetime.now(UTC)))
            found = {path: _times(http, path) for path in _pages(http)}
    for path, times in found.items():
        say(f"{path}: median {times[len(times) // 2]:.0f} ms, slowest {times[-1]:.0f} ms")
    worst = {path: times[int(len(times) * 0.95) - 1] for path, times in found.items()}
    return [Figure(f"page {path}: 95th percentile", ms, "ms", ms, BAR_MS, " ms") for path, ms in worst.items()]


def _pages(http: httpx2.Client) -> list[str]:
    front = http.get("/").text
    navigation = "".join(re.findall(r"<nav.*?</nav>", front, re.DOTALL))
    pages = ["/", *re.findall(r'href="(/[^"#]*)"', navigation.replace("&amp;", "&")), *TABLES]
    for kind in ("task", "node"):
        pages += re.findall(rf'href="(/{kind}/[^"#]+)"', front)[:1]
    return list(dict.fromkeys(pages))


def _times(http: httpx2.Client, path: str) -> list[float]:
    took = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        answer = http.get(path)
        took.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")
    return sorted(took)
