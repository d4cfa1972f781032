"""How fast a node with 4 slots drains trivial tasks, against a bare loop of 4 parallel `podman run`s."""

import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qb.client import QbClient
from qb.contract.states import NodeMode, TaskStatus
from qb.contract.tasks import TaskCreate
from tests.bench.figures import ROUNDS, Figure, Say, ratio
from tests.bench.launch import ARGUMENTS, IMAGE, build
from tests.bench.memory import start_runner
from tests.fixtures_server import new_server

SLOTS, TASKS = 4, 100
LEAST = 0.8
PATIENCE = 300.0


def slots(say: Say) -> list[Figure]:
    """Tasks a second and containers a second, in turn, for pull and for push."""
    build()
    return [_by(mode, say) for mode in (NodeMode.PULL, NodeMode.PUSH)]


def _by(mode: NodeMode, say: Say) -> Figure:
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        place = Path(folder)
        server = new_server(place / "qb", "--loopback-nodes")
        server.start()
        try:
            with (place / "runner.log").open("wb") as log:
                more = ("--slots", str(SLOTS), "--workspace", "task")
                runner = start_runner(server, place, IMAGE, log.fileno(), *more, mode=mode)
            try:
                with server.client() as client:
                    _drain(client, SLOTS)
                    pairs = [(_drain(client, TASKS), _bare(TASKS)) for _ in range(ROUNDS)]
            finally:
                runner.terminate()
                runner.wait(60)
        finally:
            server.stop()
    say(f"{mode}: " + ", ".join(f"{ours:.1f} against {bare:.1f} a second" for ours, bare in pairs))
    return ratio(f"{SLOTS} slots drain {TASKS} tasks, {mode}", pairs, "/s", LEAST, least=True)


def _drain(client: QbClient, count: int) -> float:
    begun = time.perf_counter()
    ids = [client.create_task(TaskCreate(prompt=ARGUMENTS[-1], timeout_seconds=120)).id for _ in range(count)]
    for task_id in ids:
        while not (task := client.task(task_id)).status.terminal:
            if time.perf_counter() - begun > PATIENCE:
                raise RuntimeError(f"task {task_id} does not end")
            time.sleep(0.02)
        if task.status is not TaskStatus.SUCCESS:
            raise RuntimeError(f"task {task_id} ended {task.status}: {task.error_message}")
    return count / (time.perf_counter() - begun)


def _bare(count: int) -> float:
    begun = time.perf_counter()
    with ThreadPoolExecutor(SLOTS) as loops:
        for code in loops.map(_run, range(count)):
            if code:
                raise RuntimeError("podman run fails: `make podman` mends it")
    return count / (time.perf_counter() - begun)


def _run(_: int) -> int:
    command = ["podman", "run", "--rm", IMAGE, *ARGUMENTS]
    return subprocess.run(command, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode
