"""Idempotency keys are kept for a day, each caller's apart."""

import pytest

from qb.contract.routes import Caller
from qb.contract.tasks import TaskCreate
from qb.domain.errors import Conflict
from qb.service.credentials import Identity
from tests.service.conftest import Plane

BODY = TaskCreate(prompt="x")


def caller(key_id: str) -> Identity:
    return Identity(Caller.ADMIN, key_id=key_id, name="same name")


async def test_keys_of_different_callers_do_not_meet(plane: Plane) -> None:
    made = {(await plane.tasks.create_once(caller(each), BODY, "k"))[0]["id"] for each in ("one", "two")}
    assert len(made) == 2


async def test_a_key_is_forgotten_after_a_day_and_not_before(plane: Plane) -> None:
    first, _ = await plane.tasks.create_once(caller("one"), BODY, "k")
    plane.clock.turn(24 * 3600 - 1)
    again, made = await plane.tasks.create_once(caller("one"), BODY, "k")
    assert (again["id"], made) == (first["id"], False)
    with pytest.raises(Conflict, match=first["id"]):
        await plane.tasks.create_once(caller("one"), TaskCreate(prompt="y"), "k")
    plane.clock.turn(1)
    later, made = await plane.tasks.create_once(caller("one"), TaskCreate(prompt="y"), "k")
    assert made
    assert later["id"] != first["id"]
    rows = await plane.core.readers.run(lambda db: db.execute("SELECT count(*) FROM idempotency_keys").fetchone()[0])
    assert rows == 1
