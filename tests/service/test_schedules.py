"""Schedules: a recurring task is the pattern of its runs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from qb.contract.queries import LAST_CURSOR
from qb.contract.routes import Caller
from qb.domain.errors import Conflict, Invalid, NotFound
from qb.service.credentials import Identity
from tests.service.conftest import ADMIN, OPERATOR


async def runs(plane: Any, schedule: str) -> list[dict[str, Any]]:
    rows, _ = await plane.core.readers.run(_all_tasks)
    return [row for row in rows if row["schedule_id"] == schedule and row["id"] != schedule][::-1]


def _all_tasks(db: Any) -> Any:
    rows = [dict(row) for row in db.execute("SELECT * FROM tasks ORDER BY seq DESC")]
    return rows, None


async def test_a_recurring_task_never_runs_itself_and_each_run_names_it(plane: Any, clock: Any) -> None:
    node = await plane.node(wire=1)
    schedule = await plane.task("report", recurrence="0 13 * * *", title="Daily", priority=3, image="i")
    assert (await plane.show(schedule))["schedule_id"] == schedule
    assert await plane.poll(node) is None
    clock.turn(3600)
    await plane.scheduler.tick()
    assignment = await plane.poll(node)
    assert assignment["task_id"] != schedule
    run = await plane.show(assignment["task_id"])
    assert (run["schedule_id"], run["title"], run["prompt"], run["priority"]) == (schedule, "Daily", "report", 3)
    assert (run["scheduled_for"], run["recurrence"]) == ("2026-01-01T13:00:00.000Z", None)
    assert (await plane.show(schedule))["status"] == "pending"
    await plane.scheduler.tick()
    assert len(await runs(plane, schedule)) == 1
    shown = await plane.schedules.one(schedule)
    assert (shown["next_run_at"], shown["last_run_at"]) == ("2026-01-02T13:00:00.000Z", "2026-01-01T13:00:00.000Z")


async def test_runs_keep_to_the_wall_clock_of_their_zone(plane: Any, clock: Any) -> None:
    clock.now = datetime(2026, 3, 28, 12, tzinfo=UTC)
    schedule = await plane.task(recurrence="0 9 * * *", time_zone="Europe/Berlin")
    for moment in (datetime(2026, 3, 29, 7, tzinfo=UTC), datetime(2026, 3, 30, 7, tzinfo=UTC)):
        clock.now = moment
        await plane.scheduler.tick()
    assert len(await runs(plane, schedule)) == 2
    assert (await plane.schedules.one(schedule))["time_zone"] == "Europe/Berlin"


@pytest.mark.parametrize(("missed", "made"), [("skip", 0), ("once", 1)])
async def test_runs_missed_while_the_server_was_down_are_skipped_or_made_once(
    plane: Any, clock: Any, reopen: Any, missed: str, made: int
) -> None:
    schedule = await plane.task(recurrence="0 13 * * *", missed_runs=missed)
    clock.turn(3 * 24 * 3600 + 2 * 3600)
    plane = await reopen(plane)
    await plane.scheduler.tick()
    found = await runs(plane, schedule)
    assert len(found) == made
    shown = await plane.schedules.one(schedule)
    assert shown["next_run_at"] == "2026-01-05T13:00:00.000Z"
    assert ("run_missed" in await plane.kinds(schedule)) == (missed == "skip")
    clock.turn(23 * 3600)
    await plane.scheduler.tick()
    assert len(await runs(plane, schedule)) == made + 1, "the next one comes in its time"
    plane.core.readers.close()
    plane.core.writer.close()


async def test_a_run_that_comes_a_little_late_is_no_missed_one(plane: Any, clock: Any) -> None:
    schedule = await plane.task(recurrence="0 13 * * *", missed_runs="skip")
    clock.turn(3600 + 59)
    await plane.scheduler.tick()
    assert len(await runs(plane, schedule)) == 1


async def test_it_begins_at_scheduled_for_where_that_is_given(plane: Any, clock: Any) -> None:
    start = datetime(2026, 1, 3, 13, tzinfo=UTC)
    schedule = await plane.task(recurrence="0 13 * * *", scheduled_for=start)
    assert (await plane.schedules.one(schedule))["next_run_at"] == "2026-01-03T13:00:00.000Z"
    later = await plane.task(recurrence="0 12 * * *", scheduled_for=start)
    assert (await plane.schedules.one(later))["next_run_at"] == "2026-01-04T12:00:00.000Z"


@pytest.mark.parametrize("how", ["remove", "cancel"])
async def test_a_schedule_ends_by_its_removal_or_by_cancelling_its_task_and_its_runs_stay(
    plane: Any, clock: Any, how: str
) -> None:
    schedule = await plane.task(recurrence="* * * * *")
    clock.turn(60)
    await plane.scheduler.tick()
    if how == "remove":
        assert (await plane.schedules.remove(OPERATOR, schedule))["next_run_at"] is None
    else:
        await plane.tasks.cancel(schedule)
    assert (await plane.show(schedule))["status"] == "cancelled"
    clock.turn(600)
    await plane.scheduler.tick()
    (run,) = await runs(plane, schedule)
    assert run["status"] == "pending"
    assert await plane.schedules.page(ADMIN, before=LAST_CURSOR, limit=9) == ([], None)
    with pytest.raises(NotFound):
        await plane.schedules.remove(OPERATOR, schedule)
    with pytest.raises(Conflict, match="is a schedule"):
        await plane.tasks.retry(ADMIN, schedule)


async def test_each_run_expires_in_its_own_time(plane: Any, clock: Any) -> None:
    schedule = await plane.task(recurrence="0 13 * * *", queue_timeout_seconds=60)
    clock.turn(3600)
    await plane.scheduler.tick()
    clock.turn(61)
    await plane.scheduler.tick()
    (run,) = await runs(plane, schedule)
    assert run["reason"] == "expired"
    assert (await plane.show(schedule))["status"] == "pending"


async def test_runs_keep_to_the_limit_of_the_key(plane: Any, clock: Any) -> None:
    from qb.contract.tasks import TaskCreate

    acme = Identity(Caller.SCOPED, key_id="k1", name="acme", max_running=1)
    body = TaskCreate(prompt="x", recurrence="* * * * *")
    await plane.tasks.create(acme, body)
    nodes = [await plane.node(name) for name in ("a", "b")]
    for _ in range(2):
        clock.turn(60)
        await plane.scheduler.tick()
    assert [bool(await plane.poll(node)) for node in nodes] == [True, False]


async def test_schedules_come_in_pages_the_newest_first_and_a_key_sees_its_own(plane: Any) -> None:
    older, newer = await plane.task(recurrence="0 20 * * *"), await plane.task(recurrence="0 13 * * *")
    first, cursor = await plane.schedules.page(ADMIN, before=LAST_CURSOR, limit=1)
    assert cursor is not None
    second, over = await plane.schedules.page(ADMIN, before=cursor, limit=2)
    assert ([shown["id"] for shown in first + second], over) == ([newer, older], None)
    stranger = Identity(Caller.SCOPED, key_id="k9", name="stranger")
    assert await plane.schedules.page(stranger, before=LAST_CURSOR, limit=9) == ([], None)


async def test_a_schedule_counts_for_no_pending_task(plane: Any) -> None:
    await plane.task(recurrence="0 20 * * *")
    await plane.task()
    assert (await plane.fleet.stats())["pending_tasks"] == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"recurrence": "daily"}, "recurrence: write five cron fields"),
        ({"recurrence": "0 9 * * *", "time_zone": "Mars/Base"}, "recurrence: no time zone"),
        ({"time_zone": "UTC"}, "time_zone: is for recurrence alone"),
        ({"recurrence": "0 9 * * *", "depends_on": ["x"]}, "depends_on: a schedule waits for no other"),
    ],
)
async def test_what_cannot_recur_is_refused(plane: Any, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await plane.task(**asked)


async def test_nothing_waits_for_a_schedule(plane: Any) -> None:
    schedule = await plane.task(recurrence="0 20 * * *")
    with pytest.raises(Invalid, match="never ends"):
        await plane.task(depends_on=[schedule])
