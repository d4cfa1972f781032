"""The server's clockwork: what time alone changes."""

from typing import Any

from qb.service.scheduler import BATCH


async def test_a_crowd_of_leases_that_end_together_ends_in_one_tick(plane: Any, clock: Any) -> None:
    node = await plane.node(slots=2 * BATCH + 1)
    held = [await plane.started(node, max_attempts=1) for _ in range(2 * BATCH + 1)]
    clock.turn(100)
    before = plane.core.writer.jobs
    await plane.scheduler.tick()
    ended = [await plane.show(each["task_id"]) for each in held]
    assert {(each["status"], each["reason"]) for each in ended} == {("error", "lease_expired")}
    assert plane.core.writer.jobs - before >= 3, "in portions, between which others may write"
