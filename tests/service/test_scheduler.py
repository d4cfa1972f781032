"""The server's clockwork: what time alone changes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from qb.contract.states import NodeStatus
from qb.domain.times import iso
from qb.service.audit import Audit
from qb.service.housekeeping import Housekeeping
from qb.service.scheduler import BATCH
from qb.store import keys, nodes
from tests.service.conftest import HandClock, Plane


@contextmanager
def broken(module: ModuleType, name: str) -> Iterator[None]:
    """A statement that the disk fails for as long as the block lasts."""

    def fail(*args: Any, **more: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, fail)
        yield


async def test_a_crowd_of_leases_that_end_together_ends_in_one_tick(plane: Any, clock: Any) -> None:
    node = await plane.node(slots=2 * BATCH + 1)
    held = [await plane.started(node, max_attempts=1) for _ in range(2 * BATCH + 1)]
    clock.turn(100)
    before = plane.core.writer.jobs
    await plane.scheduler.tick()
    ended = [await plane.show(each["task_id"]) for each in held]
    assert {(each["status"], each["reason"]) for each in ended} == {("error", "lease_expired")}
    assert plane.core.writer.jobs - before >= 3, "in portions, between which others may write"


async def test_a_node_whose_silence_could_not_be_written_down_is_found_again_by_the_next_tick(
    plane: Plane, clock: HandClock
) -> None:
    node = await plane.node()
    clock.turn(100)
    with broken(nodes, "offline"), pytest.raises(sqlite3.OperationalError):
        await plane.scheduler.tick()
    await plane.scheduler.tick()
    assert (await plane.fleet.one(node))["status"] == NodeStatus.OFFLINE


async def test_presence_that_could_not_be_written_down_is_written_by_the_next_tick(
    plane: Plane, clock: HandClock
) -> None:
    node = await plane.node()
    clock.turn(10)
    assert await plane.poll(node) is None
    with broken(nodes, "seen"), pytest.raises(sqlite3.OperationalError):
        await plane.scheduler.tick()
    await plane.scheduler.tick()
    assert (await plane.fleet.one(node))["last_seen_at"] == iso(clock())


async def test_presence_that_a_heartbeat_could_not_write_down_is_written_by_the_next_tick(
    plane: Plane, clock: HandClock
) -> None:
    node = await plane.node()
    clock.turn(10)
    with broken(nodes, "heartbeat"), pytest.raises(sqlite3.OperationalError):
        await plane.beat(node)
    await plane.scheduler.tick()
    assert (await plane.fleet.one(node))["last_seen_at"] == iso(clock())


async def test_who_speaks_while_presence_is_written_is_written_again(plane: Plane, clock: HandClock) -> None:
    node = await plane.node()
    member = plane.registry.members[node]
    member.seen(clock())
    before = clock()
    clock.turn(10)
    member.seen(clock())
    member.written(before)
    assert member.to_write(clock())
    member.written(clock())
    assert not member.to_write(clock())


async def test_keys_whose_use_could_not_be_written_down_are_written_by_the_next_round(plane: Plane) -> None:
    (key,) = await plane.core.keys.run(keys.keys)
    plane.core.credentials._used = {key.id}
    housekeeping = Housekeeping(plane.core, Audit(plane.core))
    with broken(keys, "used"):
        await housekeeping._round()
    await housekeeping._round()
    (key,) = await plane.core.keys.run(keys.keys)
    assert key.last_used_at == iso(plane.clock())
