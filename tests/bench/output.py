"""Output: lines made durable each second against raw SQLite, and how long a line takes to its reader."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from statistics import quantiles
from typing import Any

from qb.store.database import connect
from tests.bench.figures import ROUNDS, Figure, Say, most, ratio
from tests.bench.processes import children, pss_kib
from tests.bench.wire import Connection
from tests.fixtures_server import Server, new_server

TASKS = 16
BATCH = 100
SECONDS = 4.0
LINES_PER_SECOND = 50_000
TEXT = "x" * 60 + "\n"
AT = "2026-01-01T12:00:00.000000Z"
RAW_RATIO = 0.25
"""The raw side parses no JSON, speaks no HTTP and leads nothing anywhere; on few cores it has them to itself."""

LAG_LINES = 400
LAG_P95_MS = 300.0
CLAIMS = 200
CLAIM_P95_MS = 100.0
BIG_BYTES = 100_000_000
BIG_LINE = "y" * 99
GROWTH_MIB = 50.0
RAW = """
CREATE TABLE lines (task_id TEXT, attempt INTEGER, seq INTEGER, stream TEXT, at TEXT, text TEXT,
    PRIMARY KEY (task_id, attempt, seq));
"""
RAW_ADD = "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)"


def output(say: Say) -> list[Figure]:
    """Throughput, lag beside that load and without it, and the memory that 100 MB of one task cost."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        server = new_server(Path(folder) / "qb", "--output-limit", "4G")
        server.start()
        try:
            return asyncio.run(_measure(server, Path(folder), say))
        finally:
            server.stop()


async def _measure(server: Server, place: Path, say: Say) -> list[Figure]:
    async with AsyncExitStack() as owned:
        tasks = [await owned.enter_async_context(printing_task(server, f"node-{index}")) for index in range(TASKS)]
        pairs = []
        for number in range(ROUNDS):
            raw = await asyncio.to_thread(_raw, place / f"raw-{number}.db", SECONDS / 2)
            rate = await _rate(tasks)
            say(f"{rate:,.0f} lines/s against {raw:,.0f}/s")
            pairs.append((rate, raw))
        quiet = await _lags(server, tasks[0])
        busy = asyncio.create_task(_rate(tasks[1:]))
        claims = asyncio.create_task(_claims(server))
        loaded = await _lags(server, tasks[0])
        await busy
        claimed = await claims
        grown = await growth_while_read(server, tasks[0], BIG_LINE, BIG_BYTES, say)
    rates = sorted(rate for rate, _ in pairs)
    say(f"lag p50 {quiet[49]:.1f} p95 {quiet[94]:.1f} ms; beside the load p50 {loaded[49]:.1f} p95 {loaded[94]:.1f} ms")
    say(f"a claim beside the load: p50 {claimed[49]:.1f} p95 {claimed[94]:.1f} ms")
    middle = rates[len(rates) // 2]
    return [
        Figure("output: durable lines", middle, "/s", middle, LINES_PER_SECOND, "/s", least=True),
        ratio("output over HTTP / raw SQLite, one transaction each batch", pairs, "/s", RAW_RATIO, least=True),
        most("output: POST to stream, p50", [quiet[49]], "ms", LAG_P95_MS),
        most("output: POST to stream, p95", [quiet[94]], "ms", LAG_P95_MS),
        most("output: the same beside the load, p95", [loaded[94]], "ms", LAG_P95_MS),
        most("output: a claim beside the load, p95", [claimed[94]], "ms", CLAIM_P95_MS),
        most(f"output: growth by {BIG_BYTES // 1_000_000} MB of one task", [grown], "MiB", GROWTH_MIB),
    ]


class Printing:
    """One task's runner; `seq` counts its lines."""

    def __init__(self, connection: Connection, task_id: str, attempt: int) -> None:
        self.task_id = task_id
        self._connection = connection
        self._attempt = attempt
        self.seq = 0

    async def print(self, text: str, count: int) -> None:
        """One batch of `count` equal lines; returns when it is durable."""
        chunks = [
            {"seq": self.seq + number, "stream": "stdout", "at": AT, "text": text} for number in range(1, count + 1)
        ]
        said = await self._connection.post(
            f"/tasks/{self.task_id}/output", {"attempt": self._attempt, "chunks": chunks}
        )
        self.seq += count
        if said["accepted_to"] != self.seq:
            raise RuntimeError(f"line {self.seq} was sent, and {said['accepted_to']} accepted")


@asynccontextmanager
async def printing_task(server: Server, name: str) -> AsyncIterator[Printing]:
    async with Connection(server.port, server.registration_token) as joining:
        body = {"hostname": name, "wire": 2}
        node = await joining.post("/register", body, header="X-Registration-Token")
    async with Connection(server.port, server.admin_key) as admin, Connection(server.port, node["api_key"]) as runner:
        order = {"prompt": "print", "target_node_id": node["id"]}
        await admin.post("/tasks", order)
        given = await runner.get("/tasks/pending?wait=5")
        said = {"task_id": given["task_id"], "attempt": given["attempt"], "status": "running", "seq": 1}
        await runner.post("/status", said)
        yield Printing(runner, given["task_id"], given["attempt"])


async def _rate(tasks: list[Printing]) -> float:
    begun, before = time.perf_counter(), sum(task.seq for task in tasks)

    async def prints(task: Printing) -> None:
        while time.perf_counter() - begun < SECONDS:
            await task.print(TEXT, BATCH)

    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(prints(task))
    return (sum(task.seq for task in tasks) - before) / (time.perf_counter() - begun)


def _raw(path: Path, seconds: float) -> float:
    """The same batches, one durable transaction each, by one connection that does nothing else."""
    with closing(connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(RAW)
        begun, done = time.perf_counter(), 0
        task_id = "3f2a0000-0000-4000-8000-000000000001"
        while time.perf_counter() - begun < seconds:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(RAW_ADD, [(task_id, 1, done + number, "stdout", AT, TEXT) for number in range(BATCH)])
            db.execute("COMMIT")
            done += BATCH
        return done / (time.perf_counter() - begun)


async def _lags(server: Server, task: Printing) -> list[float]:
    """Percentiles 1 to 99 of the milliseconds from the POST of a line to its coming out of the stream."""
    lags: list[float] = []
    async with _stream(server, task, await _last(server, task)) as lines:
        for number in range(LAG_LINES):
            begun = time.perf_counter()
            sending = asyncio.create_task(task.print(f"{number}\n", 1))
            async with asyncio.timeout(30):
                while (await anext(lines))["seq"] != task.seq + (0 if sending.done() else 1):
                    pass
            lags.append((time.perf_counter() - begun) * 1000)
            await sending
    return quantiles(lags, n=100, method="inclusive")


async def _claims(server: Server) -> list[float]:
    """Percentiles 1 to 99 of the milliseconds of a poll that gets a task, while others print."""
    took: list[float] = []
    async with Connection(server.port, server.registration_token) as joining:
        body = {"hostname": "claims", "wire": 2, "slots": 256}
        node = await joining.post("/register", body, header="X-Registration-Token")
    async with Connection(server.port, server.admin_key) as admin, Connection(server.port, node["api_key"]) as runner:
        held: list[str] = []
        for _ in range(CLAIMS):
            await admin.post("/tasks", {"prompt": "claim", "target_node_id": node["id"]})
            begun = time.perf_counter()
            given = await runner.get(f"/tasks/pending?held={','.join(held)}")
            took.append((time.perf_counter() - begun) * 1000)
            held = [f"{given['task_id']}:{given['attempt']}"]
            said = {"task_id": given["task_id"], "attempt": given["attempt"]}
            await runner.post("/status", said | {"status": "running", "seq": 1})
            await runner.post("/status", said | {"status": "success", "exit_code": 0, "seq": 2})
    return quantiles(took, n=100, method="inclusive")


async def growth_while_read(server: Server, task: Printing, text: str, size: int, say: Say) -> float:
    """MiB by which the worker grew while a task printed `size` bytes as lines of `text`, and a client read along.

    Raises RuntimeError when a line is lost, doubled or changed.
    """
    assert server.process is not None
    [worker] = children(server.process.pid)
    before, grown = pss_kib(worker), 0.0
    last, first, count = await _last(server, task), task.seq, size // (len(text) + 1)
    begun = time.perf_counter()

    async def reads() -> None:
        expected = first
        async with _stream(server, task, last) as lines:
            async for line in lines:
                expected += 1
                if line["seq"] != expected or line["text"] != text + "\n":
                    raise RuntimeError(f"line {line['seq']} came where {expected} should")
                if expected == first + count:
                    return

    reading = asyncio.create_task(reads())
    while task.seq < first + count:
        await task.print(text + "\n", min(1000, first + count - task.seq))
        grown = max(grown, (pss_kib(worker) - before) / 1024)
    while not reading.done():
        grown = max(grown, (pss_kib(worker) - before) / 1024)
        await asyncio.sleep(0.2)
    await reading
    say(f"{count:,} lines in {time.perf_counter() - begun:.0f} s, all read; grown by {grown:.0f} MiB")
    return grown


async def _last(server: Server, task: Printing) -> int:
    """The id of the last line that there is."""
    async with Connection(server.port, server.admin_key) as admin:
        last = 0
        while page := await admin.get(f"/tasks/{task.task_id}/output?limit=5000&after={last}"):
            last = page[-1]["id"]
    return last


@asynccontextmanager
async def _stream(server: Server, task: Printing, last: int) -> AsyncIterator[AsyncIterator[Any]]:
    """The lines after the one with the id `last`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 22)
    writer.write(
        f"GET /tasks/{task.task_id}/output HTTP/1.1\r\nHost: bench\r\nX-API-Key: {server.admin_key}\r\n"
        f"Accept: text/event-stream\r\nLast-Event-ID: {last}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")

    async def lines() -> AsyncIterator[Any]:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    try:
        yield lines()
    finally:
        writer.close()
