"""Whatever tasks, nodes, limits and ends meet: none runs too early or beyond a limit, none is lost, none is stuck."""

import asyncio
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qb.contract.nodes import Held
from qb.contract.routes import Caller
from qb.contract.states import NodeState, TaskStatus
from qb.contract.tasks import TaskCreate
from qb.domain.placement import Traits, matches
from qb.domain.times import iso
from qb.service.credentials import Identity
from qb.service.setup import initialise
from qb.store import nodes, placements
from tests.service.conftest import ADMIN, OPERATOR, HandClock, Plane, close_plane, open_plane

NODES = {"a-1": {"site": "x"}, "a-2": {"site": "y"}, "b-1": {"site": "x"}}
KEYS = [
    ADMIN,
    Identity(Caller.SCOPED, key_id="k1", name="one", max_running=1),
    Identity(Caller.SCOPED, key_id="k2", name="two", max_running=2, node_patterns=("a-*",)),
]

CREATE = st.fixed_dictionaries(
    {
        "key": st.integers(0, len(KEYS) - 1),
        "target_node_name": st.sampled_from([None, None, "a-*", "b-1", "nowhere"]),
        "target_tags": st.sampled_from([None, None, {"site": "x"}]),
        "priority": st.integers(-1, 1),
        "later": st.sampled_from([0, 0, 0, 30]),
        "after": st.lists(st.integers(0, 30), max_size=2),
        "on_failure": st.sampled_from(["cancel", "run"]),
        "max_attempts": st.integers(1, 2),
        "backoff_seconds": st.sampled_from([0, 20]),
        "queue_timeout_seconds": st.sampled_from([None, None, 90]),
    }
)
STEPS = st.one_of(
    st.tuples(st.just("create"), CREATE),
    st.tuples(st.just("poll"), st.integers(0, len(NODES) - 1)),
    st.tuples(st.just("end"), st.integers(0, 10), st.sampled_from(["success", "error"])),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("drain"), st.integers(0, len(NODES) - 1)),
    st.tuples(st.just("resume"), st.integers(0, len(NODES) - 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 45])),
)


@dataclass
class Play:
    """A control plane, and the rules told a second time, over the rows as they are."""

    plane: Plane
    ids: dict[str, str]
    made: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    async def step(self, step: tuple[Any, ...]) -> None:
        """Do one thing, and look whether all is well."""
        await getattr(self, step[0])(*step[1:])
        await self.check()

    async def create(self, asked: dict[str, Any]) -> None:
        given = {key: value for key, value in asked.items() if key not in ("key", "later", "after")}
        identity = KEYS[asked["key"]]
        own = [row["id"] for row in self.rows if identity is ADMIN or row["created_by_key"] == identity.key_id]
        given["depends_on"] = [own[index % len(own)] for index in asked["after"]] if own else None
        if asked["later"]:
            given["scheduled_for"] = self.plane.clock.now + timedelta(seconds=asked["later"])
        task = await self.plane.tasks.create(identity, TaskCreate(prompt="x", **given))
        self.made.append(task["id"])

    async def poll(self, index: int) -> dict[str, Any] | None:
        name = list(NODES)[index]
        mine = [row for row in self.rows if row["assigned_node_id"] == self.ids[name] and row["lease_expires_at"]]
        held = [Held(task_id=row["id"], attempt=row["attempt"]) for row in mine]
        given = await self.plane.poll(self.ids[name], *held)
        if given is not None:
            row = await self._row(given["task_id"])
            assert row["state"] == "active", "a draining node takes nothing"
            await self.plane.runner(self.ids[name], given["task_id"], "running", attempt=given["attempt"])
        return given

    async def end(self, index: int, status: str) -> None:
        live = [row for row in self.rows if row["lease_expires_at"]]
        if live:
            row = live[index % len(live)]
            await self.plane.runner(row["assigned_node_id"], row["id"], status, attempt=row["attempt"])

    async def cancel(self, index: int) -> None:
        if self.made:
            await self.plane.tasks.cancel(self.made[index % len(self.made)])

    async def drain(self, index: int) -> None:
        await self.plane.nodes.set_state(OPERATOR, self.ids[list(NODES)[index]], NodeState.DRAINING)

    async def resume(self, index: int) -> None:
        await self.plane.nodes.set_state(OPERATOR, self.ids[list(NODES)[index]], NodeState.ACTIVE)

    async def wait(self, seconds: float) -> None:
        self.plane.clock.turn(seconds)
        for node_id in self.ids.values():
            mine = [row for row in self.rows if row["assigned_node_id"] == node_id and row["lease_expires_at"]]
            await self.plane.beat(node_id, *(Held(task_id=row["id"], attempt=row["attempt"]) for row in mine))
        await self.plane.scheduler.tick()

    async def check(self) -> None:
        """No task is lost, and none runs beyond a limit."""
        self.rows = await self.plane.core.readers.run(_rows)
        assert [row["id"] for row in self.rows] == self.made
        live = [row for row in self.rows if TaskStatus(row["status"]).live]
        per_node = Counter(row["assigned_node_id"] for row in live)
        assert all(count <= (2 if node == self.ids["a-1"] else 1) for node, count in per_node.items())
        per_key = Counter(row["created_by_key"] for row in live)
        assert all(per_key[key.key_id] <= key.max_running for key in KEYS if key.max_running)
        for row in live:
            assert matches(row["goal"], row["traits"])
            assert self.in_order(row)
            assert (row["scheduled_for"] or "") <= iso(self.plane.clock.now)

    def in_order(self, row: dict[str, Any]) -> bool:
        """Whether all that the task waits for has ended as it should."""
        fine = {"success"} if row["on_failure"] == "cancel" else {"success", "error", "cancelled"}
        return all(status in fine for status in row["others"])

    async def start_all(self) -> None:
        """Let every node poll until none gets anything; what waits then must have a reason to."""
        while any([await self._polled(index) for index in range(len(NODES))]):
            pass
        free = await self.plane.core.readers.run(lambda db: _free(db, self.ids))
        running = Counter(row["created_by_key"] for row in self.rows if row["lease_expires_at"])
        room = {key.key_id for key in KEYS if key.max_running is None or running[key.key_id] < key.max_running}
        for row in self.rows:
            if row["status"] == "pending" and row["available_at"] is None and self.in_order(row):
                held_up = row["created_by_key"] not in room or not any(matches(row["goal"], each) for each in free)
                assert held_up, f"{row['id']} may start and does not"
            if row["status"] == "pending" and row["available_at"] is not None:
                assert row["available_at"] > iso(self.plane.clock.now)

    async def _polled(self, index: int) -> bool:
        given = await self.poll(index)
        await self.check()
        return given is not None

    async def _row(self, task_id: str) -> dict[str, Any]:
        return next(row for row in await self.plane.core.readers.run(_rows) if row["id"] == task_id)


_TASKS = """
SELECT t.*, s.on_failure, s.scheduled_for, s.depends_on FROM tasks t JOIN task_specs s ON s.task_id = t.id
ORDER BY t.seq
"""


def _rows(db: Any) -> list[dict[str, Any]]:
    """Every task, with its target, its node and the statuses of those it waits for."""
    rows = [dict(row) for row in db.execute(_TASKS)]
    status = {row["id"]: row["status"] for row in rows}
    for row in rows:
        node = nodes.by_id(db, row["assigned_node_id"]) if row["assigned_node_id"] else None
        row["goal"] = placements.target_of(db, row["placement_id"])
        row["traits"], row["state"] = (nodes.traits(node), node["state"]) if node else (None, None)
        row["others"] = [status[other] for other in json.loads(row["depends_on"] or "[]")]
    return rows


def _free(db: Any, ids: dict[str, str]) -> list[Traits]:
    """The nodes that would take another task."""
    free = []
    for node_id in ids.values():
        row = nodes.by_id(db, node_id)
        held = "SELECT count(*) FROM tasks WHERE assigned_node_id = ? AND lease_expires_at IS NOT NULL"
        if row is not None and row["state"] == "active" and db.execute(held, (node_id,)).fetchone()[0] < row["slots"]:
            free.append(nodes.traits(row))
    return free


async def play(steps: list[tuple[Any, ...]], data_dir: Path) -> None:
    clock = HandClock()
    initialise(data_dir, now=clock())
    plane = await open_plane(data_dir, clock)
    try:
        ids = {name: await plane.node(name, tags=tags, slots=2 if name == "a-1" else 1) for name, tags in NODES.items()}
        play = Play(plane, ids)
        for step in steps:
            await play.step(step)
        await play.start_all()
        # And to the end: whatever still waits then can never start.
        for index in range(len(NODES)):
            await play.step(("resume", index))
        for _ in range(2 * len(play.made) + 2):
            await play.start_all()
            while any(row["lease_expires_at"] for row in play.rows):
                await play.step(("end", 0, "success"))
            await play.step(("wait", 20))
        everywhere = await plane.core.readers.run(lambda db: [nodes.traits(row) for row in nodes.every(db)])
        for row in play.rows:
            reachable = any(matches(row["goal"], node) for node in everywhere)
            assert TaskStatus(row["status"]).terminal or not reachable or "pending" in row["others"]
    finally:
        close_plane(plane)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_nothing_runs_beyond_its_limits_and_all_that_may_start_does(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(steps, Path(folder) / "data"))
