"""Claims and heartbeats over HTTP, durable, against raw SQLite with one durable transaction each."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qb.store.database import connect
from tests.bench import reference, wrk
from tests.bench.figures import ROUNDS, Figure, Say, most, ratio
from tests.bench.seed import add_nodes, add_tasks, filling, node_keys
from tests.fixtures_server import Server, new_server

CLAIM_SECONDS = 1
HEARTBEAT_SECONDS = 4
WARM_UP_SECONDS = 1
CLAIM_NODES = 12_000
"""Nodes and tasks: each node claims once, and none runs dry on a machine that makes 12,000 claims a second."""

HEARTBEAT_NODES = 1_000
P99_MS = 25.0
MAX_MS = 250.0


def claim_rate(say: Say) -> list[Figure]:
    """32 connections, each poll with the key of a node that holds nothing yet."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        place = Path(folder)
        node_ids, seeded = _seeded(place / "seed", CLAIM_NODES, CLAIM_NODES)
        say(f"{CLAIM_NODES:,} nodes and as many tasks are there")
        pairs, loads = [], []
        for _ in range(ROUNDS):
            with _copy(seeded, place) as server:
                raw = reference.per_second(server.data_dir / "qb.db", reference.claim, node_ids, CLAIM_SECONDS)
            with _copy(seeded, place) as server:
                keys = _write_keys(server, node_ids)
                server.start()
                wrk.run(server.url, "heartbeat", keys, WARM_UP_SECONDS)
                load = wrk.run(server.url, "claim", keys, CLAIM_SECONDS)
                server.stop()
                claimed = _claimed(server.data_dir)
            loads.append(load)
            pairs.append((claimed / load.seconds, raw))
            say(_told(claimed / load.seconds, raw, load))
        return _figures("claims", pairs, loads)


def heartbeat_rate(say: Say) -> list[Figure]:
    """32 connections, heartbeats of a thousand idle nodes in turn."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        place = Path(folder)
        node_ids, seeded = _seeded(place / "seed", HEARTBEAT_NODES, 0)
        pairs, loads = [], []
        for _ in range(ROUNDS):
            with _copy(seeded, place) as server:
                raw = reference.per_second(
                    server.data_dir / "qb.db", reference.heartbeat, node_ids, HEARTBEAT_SECONDS / 2
                )
                keys = _write_keys(server, node_ids)
                server.start()
                wrk.run(server.url, "heartbeat", keys, WARM_UP_SECONDS)
                load = wrk.run(server.url, "heartbeat", keys, HEARTBEAT_SECONDS)
                server.stop()
            loads.append(load)
            pairs.append((load.per_second, raw))
            say(_told(load.per_second, raw, load))
        return _figures("heartbeats", pairs, loads)


def _figures(kind: str, pairs: list[tuple[float, float]], loads: list[wrk.Load]) -> list[Figure]:
    return [
        ratio(f"{kind} over HTTP / raw SQLite", pairs, "/s", 1.0, least=True),
        most(f"{kind}: 99th percentile", [load.p99 for load in loads], "ms", P99_MS),
        Figure(
            f"{kind}: slowest of all",
            max(load.max for load in loads),
            "ms",
            max(load.max for load in loads),
            MAX_MS,
            " ms",
        ),
    ]


def _told(rate: float, raw: float, load: wrk.Load) -> str:
    return f"{rate:,.0f}/s against {raw:,.0f}/s; p50 {load.p50:.1f} p99 {load.p99:.1f} max {load.max:.1f} ms"


def _seeded(data_dir: Path, nodes: int, tasks: int) -> tuple[list[str], Server]:
    server = new_server(data_dir)
    with filling(data_dir) as db:
        node_ids = add_nodes(db, nodes)
        add_tasks(db, tasks)
    return node_ids, server


@contextmanager
def _copy(seeded: Server, place: Path) -> Iterator[Server]:
    """A server on a copy of the seeded directory; stopped and removed at the end."""
    data_dir = place / "round"
    shutil.copytree(seeded.data_dir, data_dir)
    server = Server(data_dir, seeded.admin_key, seeded.registration_token)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(data_dir)


def _write_keys(server: Server, node_ids: list[str]) -> Path:
    path = server.data_dir / "bench-keys"
    path.write_text("\n".join(node_keys(server.data_dir, node_ids)) + "\n")
    return path


def _claimed(data_dir: Path) -> int:
    """What was really claimed: the attempts on disk after the server has stopped."""
    with closing(connect(data_dir / "qb.db", read_only=True)) as db:
        count: int = db.execute("SELECT count(*) FROM attempts").fetchone()[0]
    return count
