"""Memory of the server after ten thousand tasks through its API, and of a runner that has nothing to do."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from qb.contract.nodes import NodeCreate
from qb.contract.states import NodeMode
from tests.bench.figures import Figure, Say
from tests.bench.processes import cpu_seconds, family, pss_kib
from tests.bench.wire import Connection
from tests.fixtures_server import Server, new_server

TASKS = 10_000
AT_ONCE = 16
SERVER_MIB = 110.0
RUNNER_MIB = 50.0
RUNNER_PERCENT = 0.5
SETTLE = 10.0
WINDOW = 30.0
JOIN_SECONDS = 30.0


def server_memory(say: Say) -> list[Figure]:
    """Create, claim, permit, agent's word and verdict for each task, by 16 clients at once."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        server = new_server(Path(folder) / "qb")
        server.start()
        try:
            assert server.process is not None
            fresh = sum(map(pss_kib, family(server.process.pid))) / 1024
            asyncio.run(_work_through(server))
            sizes = [pss_kib(pid) / 1024 for pid in family(server.process.pid)]
        finally:
            server.stop()
    say(f"{fresh:.0f} MiB when fresh, then {' + '.join(f'{size:.0f}' for size in sizes)} MiB")
    total = sum(sizes)
    return [Figure(f"server after {TASKS:,} tasks", total, "MiB", total, SERVER_MIB, " MiB", fresh)]


async def _work_through(server: Server) -> None:
    async with asyncio.TaskGroup() as group:
        for index in range(AT_ONCE):
            group.create_task(_worker(server, index, TASKS // AT_ONCE))


async def _worker(server: Server, index: int, count: int) -> None:
    async with Connection(server.port, server.registration_token) as joining:
        body = {"hostname": f"node-{index}", "wire": 2, "limits": True}
        node = await joining.post("/register", body, header="X-Registration-Token")
    async with Connection(server.port, server.admin_key) as admin, Connection(server.port, node["api_key"]) as runner:
        for number in range(count):
            order = {"prompt": f"Task {number} of node {index}: summarise.", "target_node_id": node["id"]}
            await admin.post("/tasks", order)
            given = await runner.get("/tasks/pending?wait=5")
            said = {"task_id": given["task_id"], "attempt": given["attempt"]}
            await runner.post("/status", said | {"status": "running", "seq": 1})
            async with Connection(server.port, given["task_token"]) as agent:
                await agent.post("/status", said | {"status": "running", "progress": 50, "message": "half", "seq": 1})
            chunk = {"seq": 1, "stream": "stdout", "at": "2026-01-01T00:00:00Z", "text": "working\n"}
            await runner.post(f"/tasks/{said['task_id']}/output", {"attempt": said["attempt"], "chunks": [chunk]})
            await runner.post("/status", said | {"status": "success", "exit_code": 0, "seq": 2})


def idle_runner(say: Say) -> list[Figure]:
    """A real runner that waits for tasks of a real server; podman's own service beside it is not counted."""
    return [figure for mode in (NodeMode.PULL, NodeMode.PUSH) for figure in _idle(mode, say)]


def _idle(mode: NodeMode, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        server = new_server(Path(folder) / "qb", "--loopback-nodes")
        server.start()
        try:
            with (Path(folder) / "runner.log").open("wb") as log:
                runner = start_runner(server, Path(folder), "localhost/none:latest", log.fileno(), mode=mode)
            try:
                return _watch(runner.pid, mode, say)
            finally:
                runner.terminate()
                runner.wait(30)
        finally:
            server.stop()


def start_runner(
    server: Server, place: Path, image: str, log: int, *more: str, mode: NodeMode = NodeMode.PULL
) -> "subprocess.Popen[bytes]":
    """A runner that has joined the fleet; the caller ends it. A push node's server needs --loopback-nodes."""
    options = ["--orchestrator-url", server.url, "--name", "bench", "--container-image", image]
    options += ["--state-dir", str(place / "state"), "--victoria-home", str(place / "home"), *more]
    env = {**os.environ, "QB_REGISTRATION_TOKEN": server.registration_token}
    if mode is NodeMode.PUSH:
        with server.client() as client, socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            body = NodeCreate(name="bench", mode=mode, api_endpoint=f"http://127.0.0.1:{port}")
            env["QB_NODE_KEY"] = client.create_node(body).api_key
        options += ["--port", str(port)]
    runner = subprocess.Popen([sys.executable, "-m", "remote_runner", mode, *options], env=env, stdout=log, stderr=log)
    with server.client() as client:
        deadline = time.monotonic() + JOIN_SECONDS
        while not any(node.wire >= 2 for node in client.nodes()):
            if runner.poll() is not None or time.monotonic() > deadline:
                runner.kill()
                raise RuntimeError(f"the runner did not join: {(place / 'runner.log').read_text()[-2000:]}")
            time.sleep(0.1)
    return runner


def _watch(pid: int, mode: NodeMode, say: Say) -> list[Figure]:
    time.sleep(SETTLE)
    used = cpu_seconds(pid)
    time.sleep(WINDOW)
    percent = (cpu_seconds(pid) - used) / WINDOW * 100
    size = pss_kib(pid) / 1024
    everything = sum(map(pss_kib, family(pid))) / 1024
    say(f"{mode}: {size:.1f} MiB, {percent:.2f}% of a core; with what it started {everything:.1f} MiB")
    return [
        Figure(f"idle {mode} runner: memory", size, "MiB", size, RUNNER_MIB, " MiB"),
        Figure(f"idle {mode} runner: share of a core", percent, "%", percent, RUNNER_PERCENT, " %"),
    ]
