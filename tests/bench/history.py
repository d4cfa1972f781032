"""A million finished tasks in the database: list, show, claim and report, against a database with a thousand.

Making the million takes minutes. `python -m tests.bench.history FOLDER` makes it alone; with QB_BENCH_HISTORY=FOLDER
the bench then measures on what is there.
"""

import asyncio
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from qb.domain.placement import Target
from qb.store import placements
from qb.store.migrations import migrate
from tests.bench.figures import Figure, Say, ratio
from tests.bench.seed import add_nodes, filling, node_keys
from tests.bench.wire import Connection
from tests.fixtures_server import Server, new_server

FINISHED = 1_000_000
FEW = 1_000
"""Enough for a whole page of those that failed."""

PER_ROUND = 60
ROUNDS = 3
BAR = 2.0

# A version 4 UUID out of random bytes, as the server makes its ids.
_UUID = """lower(printf('%s-%s-4%s-a%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2),
    substr(hex(randomblob(2)), 2), hex(randomblob(6))))"""
_TASKS = f"""
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO tasks (id, placement_id, priority, timeout_seconds, status, claimable, reason, attempt, starts,
    max_attempts,
    deliveries,
    acknowledged, assigned_node_id, progress, exit_code, created_at, assigned_at, started_at, completed_at,
    created_by)
SELECT {_UUID}, :placement, 0, 3600, iif(n % 10, 'success', 'error'), 0, iif(n % 10, NULL, 'exit_nonzero'), 1, 1, 1,
    1, 1, :node, 100, iif(n % 10, 0, 1), at, at, at, at, 'bench'
FROM (SELECT n, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%d seconds', :count - n)) AS at FROM numbers)
"""  # noqa: S608 - the text is ours
_FILLED = (
    "INSERT INTO task_specs (task_id, prompt) SELECT id, 'Summarise the sales figures of day ' || seq FROM tasks",
    """INSERT INTO attempts (task_id, attempt, node_id, node_name, claimed_at, started_at, ended_at, outcome)
    SELECT id, 1, assigned_node_id, 'bench-0', assigned_at, started_at, completed_at, status FROM tasks""",
    """INSERT INTO task_events (task_id, attempt, at, kind, source, status, applied)
    SELECT id, 1, completed_at, 'succeeded', 'runner', status, 1 FROM tasks""",
)


def history(say: Say) -> list[Figure]:
    """Milliseconds of each request over HTTP, the median of many, on both databases in turn."""
    with _place() as folder:
        full, empty = (made(folder / str(count), count) for count in (FINISHED, FEW))
        say(f"{FINISHED:,} finished tasks are there")
        try:
            for server, _ in (full, empty):
                server.start()
            found = asyncio.run(_measured(full, empty))
        finally:
            for server, _ in (full, empty):
                server.stop()
    for name, pairs in found.items():
        say(f"{name}: " + ", ".join(f"{with_:.2f} ms against {without:.2f} ms" for with_, without in pairs))
    return [ratio(f"{FINISHED:,} finished: {name}", pairs, "ms", BAR, least=False) for name, pairs in found.items()]


@contextmanager
def _place() -> Iterator[Path]:
    kept = os.environ.get("QB_BENCH_HISTORY")
    if kept:
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        yield Path(folder)


def made(place: Path, count: int) -> tuple[Server, str]:
    """A control plane after `count` tasks, and the id of its node; taken as it is where it was made before."""
    note = place.with_suffix(".json")
    if note.exists():
        migrate(place / "qb.db")  # which takes longer than a server is given to start
        known = json.loads(note.read_text())
        return Server(place, known["admin_key"], known["registration_token"]), known["node_id"]
    shutil.rmtree(place, ignore_errors=True)
    server = new_server(place)
    with filling(place) as db:
        [node_id] = add_nodes(db, 1)
        fill(db, node_id, count)
    known = {"admin_key": server.admin_key, "registration_token": server.registration_token, "node_id": node_id}
    note.write_text(json.dumps(known))
    return server, node_id


def fill(db: sqlite3.Connection, node_id: str, count: int) -> None:
    """Let `count` tasks have ended on the node, one a second until now, every tenth in error."""
    db.execute(_TASKS, {"count": count, "placement": placements.ensure(db, Target()), "node": node_id})
    for statement in _FILLED:
        db.execute(statement)


async def _measured(*made: tuple[Server, str]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        both = [await _round(server, node_id) for server, node_id in made]
        for name in both[0]:
            found.setdefault(name, []).append((both[0][name], both[1][name]))
    return found


async def _round(server: Server, node_id: str) -> dict[str, float]:
    [key] = node_keys(server.data_dir, [node_id])
    took: dict[str, list[float]] = {}

    async def timed(name: str, step: Awaitable[object]) -> object:
        begun = time.perf_counter()
        answer = await step
        took.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
        return answer

    async with Connection(server.port, server.admin_key) as admin, Connection(server.port, key) as node:
        for _ in range(PER_ROUND):
            task = await admin.post("/tasks", {"prompt": "work"})
            await timed("list", admin.get("/tasks?limit=50"))
            await timed("list the failed", admin.get("/tasks?status_filter=error&limit=50"))
            await timed("show", admin.get(f"/tasks/{task['id']}"))
            given = await timed("claim", node.get("/tasks/pending?wait=0"))
            assert isinstance(given, dict), "the task did not reach the node"
            report = {"task_id": task["id"], "attempt": given["attempt"]}
            await timed("report", node.post("/status", {**report, "seq": 1, "status": "running"}))
            await node.post("/status", {**report, "seq": 2, "status": "success", "exit_code": 0})
    return {name: median(times) for name, times in took.items()}


if __name__ == "__main__":
    for number in (FINISHED, FEW):
        made(Path(sys.argv[1]) / str(number), number)
