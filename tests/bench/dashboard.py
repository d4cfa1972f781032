"""Twenty people look at the dashboard, some with slow queries, while nodes claim: what it costs a claim, and the log.

Claims come at a steady pace, so that both sides of the ratio are of one load and the processors are not full.
"""

import asyncio
import multiprocessing
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from qb.dashboard.launch import give_way
from qb.dashboard.links import link
from qb.dashboard.roles import Role
from qb.demo.fleet import dashboard_command, free_port
from tests.bench.figures import ROUNDS, Figure, Say, most, ratio
from tests.bench.seed import add_nodes, add_tasks, filling, node_keys
from tests.bench.wire import Connection
from tests.fixtures_server import Server, new_server

READERS = 20
PACE = 0.01
"""Seconds from one claim to the next."""
CLAIMS = 1000
BAR = 1.5
LOG_MIB = 64
START_SECONDS = 30
BETWEEN_LOOKS = 1.0
"""Seconds between two looks of a reader; the pages refresh themselves every three."""
_SLOW = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n, tasks"
_PATHS = ("/", "/qb/queue", "/qb/tasks", "/qb/tasks.json?_size=100", f"/qb.json?sql={_SLOW}")


def dashboard(say: Say) -> list[Figure]:
    """Milliseconds of a claim at the 99th percentile, with readers and without in turn, and the log's largest size."""
    pairs, logs = [], []
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
            beside, alone, seen = _round(Path(folder) / "qb", readers_first=number % 2 == 1)
        pairs.append((beside, alone))
        logs.append(seen.largest / (1 << 20))
        say(f"{beside:.1f} ms beside {seen.pages} pages, {alone:.1f} ms alone; log {logs[-1]:.1f} MiB")
    return [
        ratio(f"claims beside {READERS} dashboard readers: 99th percentile", pairs, "ms", BAR, least=False),
        most("write-ahead log beside them, at its largest", logs, "MiB", LOG_MIB),
    ]


def _round(data_dir: Path, *, readers_first: bool) -> tuple[float, float, "_Seen"]:
    """Both sides in one control plane, over before a lease or a node's silence can end: that costs claims too."""
    server = new_server(data_dir)
    with filling(data_dir) as db:
        ids = add_nodes(db, 2 * CLAIMS)
        add_tasks(db, 2 * CLAIMS + 100)
    server.start()
    keys = node_keys(data_dir, ids)
    try:
        with shown(data_dir) as url:

            def alone() -> float:
                return asyncio.run(_claims(server, keys[:CLAIMS]))

            def beside() -> tuple[float, _Seen]:
                with _readers(data_dir, url) as seen:
                    return asyncio.run(_claims(server, keys[CLAIMS:])), seen

            if readers_first:
                (found, seen), reference = beside(), alone()
            else:
                reference, (found, seen) = alone(), beside()
    finally:
        server.stop()
    return found, reference, seen


async def _claims(server: Server, keys: list[str]) -> float:
    """The 99th percentile; each node says that it has begun, as a runner does, which is not measured."""
    took: list[float] = []

    async def claim(key: str) -> None:
        async with Connection(server.port, key) as node:
            begun = time.perf_counter()
            given = await node.get("/tasks/pending?wait=0")
            took.append((time.perf_counter() - begun) * 1000)
            assert given, "there were too few tasks"
            said = {"task_id": given["task_id"], "attempt": given["attempt"], "status": "running", "seq": 1}
            await node.post("/status", said)

    running = []
    for key in keys:
        running.append(asyncio.create_task(claim(key)))
        await asyncio.sleep(PACE)
    await asyncio.gather(*running)
    return sorted(took)[int(len(took) * 0.99)]


@contextmanager
def shown(data_dir: Path) -> Iterator[str]:
    """A dashboard over the directory; its address."""
    port = free_port()
    with (data_dir / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(dashboard_command(data_dir, port), stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(lambda: _answers(url), "the dashboard does not answer")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/-/healthz").status_code == 200
    except httpx2.TransportError:
        return False


class _Seen:
    """What the readers got, and how large the log was."""

    def __init__(self) -> None:
        self.pages = 0
        self.largest = 0


@contextmanager
def _readers(data_dir: Path, url: str) -> Iterator[_Seen]:
    """A process of their own, and the last to get the processor: people have machines of their own."""
    seen, stop = _Seen(), threading.Event()
    links = [link(data_dir, "bench", Role.ANALYST, now=datetime.now(UTC)) for _ in range(READERS)]
    spawned = multiprocessing.get_context("spawn")
    ended, pages = spawned.Event(), spawned.Value("i", 0)
    people = spawned.Process(target=_read_all, args=(url, links, ended, pages))
    watch = threading.Thread(target=_watch, args=(data_dir / "qb.db-wal", seen, stop))
    people.start()
    watch.start()
    try:
        _wait_for(lambda: pages.value >= READERS, "the readers get no pages")
        yield seen
    finally:
        seen.pages = pages.value
        ended.set()
        stop.set()
        people.join(START_SECONDS)
        watch.join(START_SECONDS)


def _wait_for(true: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(problem)
        time.sleep(0.1)


def _read_all(url: str, links: list[str], ended: Any, pages: Any) -> None:
    give_way()
    threads = [
        threading.Thread(target=_read, args=(url, sign_in, number, ended, pages))
        for number, sign_in in enumerate(links)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _read(url: str, sign_in: str, turn: int, ended: Any, pages: Any) -> None:
    with httpx2.Client(base_url=url, timeout=START_SECONDS) as http:
        http.get(sign_in)
        while not ended.wait(BETWEEN_LOOKS):
            http.get(_PATHS[turn % len(_PATHS)])
            with pages.get_lock():
                pages.value += 1
            turn += 1


def _watch(log: Path, seen: _Seen, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        seen.largest = max(seen.largest, log.stat().st_size if log.exists() else 0)
