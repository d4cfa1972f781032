"""A thousand nodes that wait: what they cost the server in processor time and memory."""

import asyncio
import tempfile
from pathlib import Path

from tests.bench.figures import ROUNDS, Figure, Say, most
from tests.bench.processes import children, cpu_seconds, pss_kib
from tests.bench.wire import Connection
from tests.fixtures_server import Server, new_server

NODES = 1_000
WINDOW = 25.0
"""Seconds of one measurement: every node polls anew once, and nearly every node heartbeats once."""

HEARTBEAT = 15.0
CORE_PERCENT = 10.0
NODE_KIB = 30.0


def idle_nodes(say: Say) -> list[Figure]:
    """Each holds a long poll on one connection and heartbeats on another, as the runner does."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        server = new_server(Path(folder) / "qb")
        server.start()
        try:
            return asyncio.run(_measure(server, say))
        finally:
            server.stop()


async def _measure(server: Server, say: Say) -> list[Figure]:
    assert server.process is not None
    [worker] = children(server.process.pid)
    before = pss_kib(worker)
    keys = await _register(server)
    async with asyncio.TaskGroup() as group:
        nodes = [group.create_task(_node(server.port, key, index)) for index, key in enumerate(keys)]
        await asyncio.sleep(HEARTBEAT + 2)  # until every node has polled and said its first heartbeat
        percents, sizes = [], []
        for _ in range(ROUNDS):
            used = cpu_seconds(worker)
            await asyncio.sleep(WINDOW)
            percents.append((cpu_seconds(worker) - used) / WINDOW * 100)
            sizes.append((pss_kib(worker) - before) / NODES)
            say(f"{percents[-1]:.1f}% of a core, {sizes[-1]:.1f} KiB a node")
        for node in nodes:
            node.cancel()
    return [
        most(f"{NODES:,} idle nodes: share of a core", percents, "%", CORE_PERCENT),
        most(f"{NODES:,} idle nodes: memory of each", sizes, "KiB", NODE_KIB),
    ]


async def _register(server: Server) -> list[str]:
    keys = []
    async with Connection(server.port, server.registration_token) as joining:
        for index in range(NODES):
            body = {"hostname": f"idle-{index}", "wire": 2, "slots": 1, "limits": True, "tags": {"site": "bench"}}
            keys.append((await joining.post("/register", body, header="X-Registration-Token"))["api_key"])
    return keys


async def _node(port: int, key: str, index: int) -> None:
    # spread as a real fleet is, not all in one moment
    await asyncio.sleep(HEARTBEAT * index / NODES)
    async with Connection(port, key) as polling, Connection(port, key) as speaking, asyncio.TaskGroup() as group:
        group.create_task(_poll(polling))
        group.create_task(_speak(speaking))


async def _poll(polling: Connection) -> None:
    while await polling.get("/tasks/pending?wait=25") is None:
        pass
    raise RuntimeError("an idle node was given a task")


async def _speak(speaking: Connection) -> None:
    while True:
        await speaking.post("/nodes/heartbeat", {"status": "idle", "running": [], "load": 0.1})
        await asyncio.sleep(2 * HEARTBEAT)  # an idle runner that polls lets every second one go
