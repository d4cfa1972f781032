"""Retention: each kind goes at its own age, whole tasks go with all that is theirs, and nothing live is touched."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qb.contract.routes import Caller
from qb.contract.states import Stream
from qb.contract.tasks import OutputBatch, OutputChunk
from qb.domain.errors import Invalid, NotFound
from qb.domain.operations import Operations
from qb.domain.retention import Retention as Ages
from qb.domain.times import iso
from qb.service.audit import Actor
from qb.service.blobs import Blobs
from qb.service.collection import Collection
from qb.service.credentials import Identity
from qb.service.output import Output
from qb.service.retention import Retention
from qb.store import retention as store
from tests.service.conftest import ADMIN, HandClock, Plane

DAY = 86_400.0


@pytest.fixture
def ended(plane: Plane) -> Callable[..., Awaitable[str]]:
    """Make a task that has printed two lines and ended."""

    async def end(**more: Any) -> str:
        registered = list(plane.registry.members)
        node = registered[0] if registered else await plane.node()
        given = await plane.started(node, **more)
        task, attempt = given["task_id"], given["attempt"]
        chunks = [OutputChunk(seq=n, stream=Stream.STDOUT, at="2026-01-01T00:00:00Z", text="x\n") for n in (1, 2)]
        speaker = Identity(Caller.NODE, node_id=node, name="node")
        await Output(plane.core, plane.registry).take(speaker, task, OutputBatch(attempt=attempt, chunks=chunks))
        await plane.runner(node, task, "success", attempt=attempt, exit_code=0)
        return str(task)

    return end


def retention(plane: Plane, **ages: int | None) -> Retention:
    """The retention with these ages, all others being for ever."""
    forever = dict.fromkeys(Ages.__slots__, None)
    operations = Operations(retention=Ages(**{**forever, **ages}))
    core = replace(plane.core, settings=replace(plane.core.settings, operations=operations))
    blobs = Blobs(core.settings.blobs, core.settings.quotas)
    blobs.open()
    return Retention(core, Collection(core, blobs))


async def rows(plane: Plane, table: str) -> int:
    """How many rows a table has."""
    query = "SELECT count(*) FROM {}"
    return int(await plane.core.readers.run(lambda db: db.execute(query.format(table)).fetchone()[0]))


async def test_output_goes_at_its_age_and_the_task_stays(plane: Plane, clock: HandClock, ended: Any) -> None:
    old = await ended()
    clock.turn(20 * DAY)
    young = await ended()
    clock.turn(15 * DAY)
    live = await plane.task()
    gone = await retention(plane, output=30).sweep()
    assert gone == {"output": 2}
    left = await plane.core.readers.run(
        lambda db: [row[0] for row in db.execute("SELECT DISTINCT task_id FROM task_output")]
    )
    assert left == [young]
    for task in (old, young, live):
        assert (await plane.show(task))["id"] == task
    assert await retention(plane, output=30).sweep() == {"output": 0}


async def test_a_shorter_age_reaches_what_was_passed_over(plane: Plane, clock: HandClock, ended: Any) -> None:
    await ended()
    clock.turn(10 * DAY)
    assert await retention(plane, output=30).sweep() == {"output": 0}
    assert await retention(plane, output=5).sweep() == {"output": 2}


async def test_a_task_goes_with_all_that_is_its_own(plane: Plane, clock: HandClock, ended: Any) -> None:
    old = await ended()
    clock.turn(400 * DAY)
    kept = await ended()
    live = await plane.task()
    assert (await retention(plane, tasks=365).sweep())["tasks"] == 1
    with pytest.raises(NotFound):
        await plane.show(old)
    assert await plane.core.readers.run(lambda db: _naming(db, old)) == []
    assert {(await plane.show(task))["id"] for task in (kept, live)} == {kept, live}
    broken = await plane.core.readers.run(lambda db: db.execute("PRAGMA foreign_key_check").fetchall())
    assert broken == []


async def test_a_line_goes_with_its_last_task_and_comes_with_the_next(plane: Plane, ended: Any) -> None:
    await ended()
    wanted = {"target_tags": {"site": "acme"}}
    only = await plane.task(**wanted)
    assert await rows(plane, "placements") == 2
    await plane.core.writer.run(lambda db: store.remove(db, [only], 1000))
    assert (await retention(plane).sweep())["lines"] >= 1
    assert await rows(plane, "placements") == 1
    assert "lines" not in await retention(plane).sweep()
    node = await plane.node(name="acme-1", tags={"site": "acme"})
    again = await plane.task(**wanted)
    claimed = await plane.poll(node)
    assert claimed
    assert claimed["task_id"] == again


async def test_the_newest_event_stays_so_that_ids_are_never_reused(plane: Plane, clock: HandClock, ended: Any) -> None:
    await ended()
    clock.turn(400 * DAY)
    newest = await plane.core.readers.run(_newest)
    gone = await retention(plane, events=1, tasks=1).sweep()
    assert gone["tasks"] == 0
    assert gone["events"] > 0
    assert await plane.core.readers.run(_newest) == newest


async def test_the_operator_cleans_up_and_it_is_noted(plane: Plane, clock: HandClock, ended: Any) -> None:
    tasks = [await ended() for _ in range(120)]
    clock.turn(8 * DAY)
    live = await plane.task()
    cleaned = await retention(plane).clean_up(Actor(ADMIN), 7)
    assert (cleaned.tasks, cleaned.more) == (120, False)
    assert await rows(plane, "tasks") == 1
    assert (await plane.show(live))["status"] == "pending"
    assert len(tasks) == 120
    noted = await plane.core.readers.run(
        lambda db: db.execute("SELECT action, detail FROM audit_log ORDER BY id DESC LIMIT 1").fetchone()
    )
    assert noted["action"] == "tasks_removed"
    assert '"tasks": 120' in noted["detail"].replace('":', '": ').replace("  ", " ")


async def test_audit_and_deliveries_go_by_their_own_time(plane: Plane, clock: HandClock, ended: Any) -> None:
    await retention(plane).clean_up(Actor(ADMIN), 7)
    clock.turn(800 * DAY)
    await retention(plane).clean_up(Actor(ADMIN), 7)
    assert await retention(plane, audit=730, webhooks=14).sweep() == {"audit": 1, "webhooks": 0}
    assert await rows(plane, "audit_log") == 1


async def test_sums_by_the_hour_go_after_400_days_by_the_servers_clock(plane: Plane, clock: HandClock) -> None:
    hours = [iso(clock() - timedelta(days=days))[:13] for days in (401, 400, -4000)]

    def fill(db: sqlite3.Connection) -> None:
        for hour in hours:
            db.executemany("INSERT INTO hourly_durations VALUES (?, 'run', ?, 1)", [(hour, n) for n in range(300)])
            db.execute("INSERT INTO hourly_endings VALUES (?, 'success', '', 1)", (hour,))
            db.execute("INSERT INTO hourly_queue VALUES (?, 1)", (hour,))
            db.execute("INSERT INTO hourly_spending VALUES (?, '', '', 1, 0.5)", (hour,))

    await plane.core.writer.run(fill)
    assert await retention(plane).sweep() == {"hours": 303}
    for table in ("hourly_endings", "hourly_durations", "hourly_queue", "hourly_spending"):
        query = f"SELECT DISTINCT hour FROM {table} ORDER BY hour"  # noqa: S608
        left = await plane.core.readers.run(lambda db, query=query: [row[0] for row in db.execute(query)])
        assert left == hours[1:]
    assert await retention(plane).sweep() == {}


def test_ages_are_read_and_what_is_wrong_is_named() -> None:
    ages = Ages.of(["output=7", "tasks=forever"])
    assert (ages.output, ages.tasks, ages.events) == (7, None, 180)
    for wrong in ("output", "output=0", "output=x", "prompts=7", "output=-1", "output=99999999"):
        with pytest.raises(Invalid):
            Ages.of([wrong])


def _newest(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT max(id) FROM task_events").fetchone()[0])


def _naming(db: sqlite3.Connection, task_id: str) -> list[str]:
    """The tables that still have rows of a task, whoever added them."""
    tables = store._belonging(db)
    assert {"attempts", "task_events", "output_logs", "task_specs"} <= set(tables)
    query = "SELECT count(*) FROM {} WHERE task_id = ?"
    return [table for table in tables if db.execute(query.format(table), (task_id,)).fetchone()[0]]


async def test_a_task_with_many_points_and_sessions_goes_in_steps_of_a_bounded_size(plane: Plane, ended: Any) -> None:
    task = await ended()

    def fill(db: sqlite3.Connection) -> None:
        points = [(task, seq) for seq in range(500)]
        db.executemany("INSERT INTO task_metrics VALUES (?, 'loss', 1, ?, 0.5, '2026-01-01T00:00:00Z')", points)
        names = [(task, f"s{at}", "2026-01-01T00:00:00Z") for at in range(300)]
        columns = "task_id, id, received_at, attempt, prompt_tokens, completion_tokens, cost, message_count, stale"
        db.executemany(f"INSERT INTO crush_sessions ({columns}) VALUES (?, ?, ?, 1, 1, 1, 0, 1, 0)", names)  # noqa: S608

    await plane.core.writer.run(fill)
    steps = []
    while await plane.core.readers.run(lambda db: _naming(db, task)):
        steps.append(await plane.core.writer.run(lambda db: _changed(db, task)))
        assert len(steps) < 10
    assert max(steps) <= 201, "and the task itself"
    assert sum(steps) > 800


async def test_a_clean_up_waits_for_a_sweep_no_longer_than_its_time_and_says_that_there_is_more(
    plane: Plane, clock: HandClock, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qb.service.retention.REQUEST_SECONDS", 0.1)
    await ended()
    clock.turn(8 * DAY)
    cleaning = retention(plane)
    async with cleaning._one_at_a_time, asyncio.timeout(5):
        cleaned = await cleaning.clean_up(Actor(ADMIN), 7)
    assert (cleaned.tasks, cleaned.more) == (0, True)


async def test_files_go_in_the_background_after_a_clean_up(plane: Plane) -> None:
    cleaning = retention(plane)
    useless = plane.core.settings.blobs / "00" / ("0" * 64)
    useless.parent.mkdir(parents=True)
    useless.write_text("x")
    collecting = asyncio.create_task(cleaning._collection.run())
    await cleaning.clean_up(Actor(ADMIN), 7)
    async with asyncio.timeout(10):
        while useless.exists():  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.01)
    plane.core.stopping.set()
    await collecting


def _changed(db: sqlite3.Connection, task: str) -> int:
    """How many rows one step deletes."""
    before = db.total_changes
    store.remove(db, [task], limit=200)
    return db.total_changes - before
