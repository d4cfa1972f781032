"""A million tasks: how long each page of the dashboard takes, and the data of each chart for each span it offers."""

import re
import time
from datetime import UTC, datetime
from urllib.parse import urlencode

import httpx2

from qb.dashboard.links import link
from qb.dashboard.roles import Role
from tests.bench.dashboard import shown
from tests.bench.figures import Figure, Say
from tests.bench.million import NODES, TASKS, WAITING, million

TIMES = 20
BAR_MS = 300.0
FILTERED = (
    "/tasks?status=success",
    "/tasks?status=error",
    "/tasks?status=pending",
    "/tasks?reason=timeout",
    "/tasks?reason=node_rebooted",
    "/tasks?by=acme",
    "/tasks?by=nobody",
    "/tasks?node=bench-7",
    "/tasks?node=bench-7&status=cancelled",
    "/tasks?text=sales",
    "/tasks?text=nothing+has+this",
    "/?tag=site%3Dbench",
    "/audit?actor=acme",
    "/audit?action=node_drained",
)
"""What operators narrow the lists to, what nothing matches included."""
TABLES = (
    "/qb",
    "/qb/tasks",
    "/qb/tasks?status=error",
    "/qb/task_specs",
    "/qb/task_events",
    "/qb/attempts",
    "/qb/crush_messages",
    "/qb/nodes",
    "/qb/audit_log",
)
PARAMETERS = {"before": "", "status": "error", "days": "", "hours": "", "node": "bench-7"}


def dashboard_pages(say: Say) -> list[Figure]:
    """Milliseconds until a page is there, at the 95th percentile."""
    data_dir = million()
    say(f"{TASKS:,} finished tasks, {WAITING:,} that wait, {NODES} nodes")
    with shown(data_dir) as url, httpx2.Client(base_url=url, timeout=30, follow_redirects=True) as http:
        http.get(link(data_dir, "bench", Role.ANALYST, now=datetime.now(UTC)))
        found = {path: _times(http, path) for path in _pages(http)}
    for path, times in found.items():
        say(f"{path}: median {times[len(times) // 2]:.0f} ms, slowest {times[-1]:.0f} ms")
    worst = {path: times[int(len(times) * 0.95) - 1] for path, times in found.items()}
    return [Figure(f"page {path}: 95th percentile", ms, "ms", ms, BAR_MS, " ms") for path, ms in worst.items()]


def _pages(http: httpx2.Client) -> list[str]:
    front = http.get("/").text
    navigation = "".join(re.findall(r"<nav.*?</nav>", front, re.DOTALL))
    pages = ["/", *_links(navigation, r"/[^\"#]*"), *FILTERED, *TABLES]
    lists = front + http.get("/tasks").text
    for kind in ("task", "node"):
        pages += _links(lists, rf"/{kind}/[^\"#]+")[:1] + _links(lists, rf"/{kind}/[^\"#]+")[-1:]
    pages += [f"{page}?hours=168" for page in pages[-1:]]
    for query in _links(http.get("/qb").text, r"/qb/[a-z_]+"):
        asked = re.findall(r'id="qp\d+" name="([a-z]+)"', http.get(query).text)
        pages.append(f"{query}?{urlencode({name: PARAMETERS[name] for name in asked})}")
    trends = http.get("/-/dashboards/trends?hours=24").text
    spans = re.findall(r'<option value="(\d+)"', trends)
    pages += [f"{rows}?hours={span}" for rows in re.findall(r'data-rows="([^"]+)"', trends) for span in spans]
    return list(dict.fromkeys(pages))


def _links(text: str, pattern: str) -> list[str]:
    return re.findall(rf'href="({pattern})"', text.replace("&amp;", "&"))


def _times(http: httpx2.Client, path: str) -> list[float]:
    took = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        answer = http.get(path)
        took.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")
    return sorted(took)
