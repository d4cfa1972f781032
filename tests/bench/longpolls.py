"""Thousands of nodes that wait in long polls: how soon one has a new task, and what the waiting costs the server."""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from tests.bench.curve import Point, draw
from tests.bench.figures import Figure, Say, most
from tests.bench.processes import children, cpu_seconds, pss_kib
from tests.bench.seed import add_nodes, filling, node_keys
from tests.bench.wire import Connection
from tests.fixtures_server import Server, new_server

STEPS = (100, 1_000, 2_500, 5_000)
SUBMITTED = 300
WINDOW = 25.0
"""Seconds over which idleness is measured: every node polls anew once."""

SETTLE = 3.0
"""Seconds for the server to take in the polls that were just sent: joining all at once is not what is measured."""

PATIENCE = 60.0
P50_MS, P99_MS, CORE_PERCENT, MEMORY_MIB = 5.0, 20.0, 25.0, 250.0


@dataclass(slots=True)
class Fleet:
    """Nodes that poll; what each got, and when."""

    port: int
    received: dict[str, float] = field(default_factory=dict)
    waiting: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def poll(self, key: str) -> None:
        """One node: it takes what comes, lists it from then on, and polls again."""
        held: list[str] = []
        async with Connection(self.port, key) as polling:
            while True:
                async with self.news:
                    self.waiting += 1
                    self.news.notify_all()
                given = await polling.get(f"/tasks/pending?wait=25&held={','.join(held)}")
                now = time.perf_counter()
                async with self.news:
                    self.waiting -= 1
                    if given is not None:
                        held.append(f"{given['task_id']}:{given['attempt']}")
                        self.received[given["task_id"]] = now
                    self.news.notify_all()

    async def submit(self, admin: Connection, node_id: str) -> float:
        """Milliseconds from sending a task to its node having it."""
        begun = time.perf_counter()
        task = await admin.post("/tasks", {"prompt": "work", "target_node_id": node_id})
        async with self.news, asyncio.timeout(PATIENCE):
            await self.news.wait_for(lambda: task["id"] in self.received)
        return (self.received[task["id"]] - begun) * 1000


def long_polls(say: Say) -> list[Figure]:
    """Submit to node has the task, with more and more nodes; idle share of a core and memory at the most."""
    with _server() as (server, node_ids):
        points, percent = asyncio.run(_measure(server, node_ids, say))
    draw(points)
    last = points[-1]
    return [
        most(f"{last.nodes:,} long polls: submit to node has it, p50", [last.p50], "ms", P50_MS),
        most(f"{last.nodes:,} long polls: submit to node has it, p99", [last.p99], "ms", P99_MS),
        most(f"{last.nodes:,} long polls: share of a core, idle", [percent], "%", CORE_PERCENT),
        most(f"{last.nodes:,} long polls: memory of the server", [last.mib], "MiB", MEMORY_MIB),
    ]


@contextmanager
def _server() -> Iterator[tuple[Server, list[str]]]:
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        server = new_server(Path(folder) / "qb")
        with filling(server.data_dir) as db:
            node_ids = add_nodes(db, STEPS[-1])
        server.start()
        try:
            yield server, node_ids
        finally:
            server.stop()


async def _measure(server: Server, node_ids: list[str], say: Say) -> tuple[list[Point], float]:
    assert server.process is not None
    [worker] = children(server.process.pid)
    keys = node_keys(server.data_dir, node_ids)
    fleet, points = Fleet(server.port), []
    chosen = random.Random(7)
    async with asyncio.TaskGroup() as group, Connection(server.port, server.admin_key) as admin:
        polls: list[asyncio.Task[None]] = []
        for count in STEPS:
            polls += [group.create_task(fleet.poll(key)) for key in keys[len(polls) : count]]
            async with fleet.news, asyncio.timeout(PATIENCE):
                await fleet.news.wait_for(lambda count=count: fleet.waiting >= count)
            await asyncio.sleep(SETTLE)
            took = [await fleet.submit(admin, node_ids[chosen.randrange(count)]) for _ in range(SUBMITTED)]
            points.append(Point(count, median(took), quantiles(took, n=100)[98], pss_kib(worker) / 1024))
            say(str(points[-1]))
        used = cpu_seconds(worker)
        await asyncio.sleep(WINDOW)
        percent = (cpu_seconds(worker) - used) / WINDOW * 100
        say(f"{percent:.1f}% of a core while {len(polls):,} nodes wait")
        for poll in polls:
            poll.cancel()
    return points, percent
