"""Changes of keys: what they may not do to the fleet's operators, and what they mean for tasks under way."""

from typing import Any

import pytest

from qb.contract.keys import KeyChange, KeyCreate
from qb.contract.scopes import Role
from qb.contract.tasks import GroupCreate, TaskCreate
from qb.domain.errors import Conflict
from qb.service.audit import Actor
from qb.service.credentials import Identity
from qb.service.keys import Keys
from tests.service.conftest import ADMIN

BY = Actor(ADMIN, "192.0.2.1")
MINUTE = 1 / 1440


@pytest.fixture
def keys(plane: Any) -> Keys:
    return Keys(plane.core)


async def made(keys: Keys, **more: Any) -> dict[str, Any]:
    return await keys.create(BY, KeyCreate(name="acme", **more))


async def changed(keys: Keys, key: dict[str, Any], **given: Any) -> dict[str, Any]:
    return await keys.change(BY, key["id"], KeyChange(**given), if_match=None)


async def test_the_last_admin_key_cannot_be_made_to_expire(keys: Keys) -> None:
    first = (await keys.every())[0]
    assert first["role"] == Role.ADMIN
    with pytest.raises(Conflict, match="no admin key when it expires"):
        await changed(keys, first, expires_in_days=MINUTE)
    assert (await keys.one(first["id"]))["expires_at"] is None
    second = await made(keys, role=Role.ADMIN)
    assert (await changed(keys, first, expires_in_days=MINUTE))["expires_at"] is not None
    with pytest.raises(Conflict, match="no admin key when it expires"):
        await changed(keys, second, expires_in_days=2 * MINUTE)
    await changed(keys, first, expires_in_days=30)
    await changed(keys, second, expires_in_days=20)


async def test_the_only_admin_key_may_be_good_for_longer(keys: Keys) -> None:
    first, short = (await keys.every())[0], await made(keys, role=Role.ADMIN, expires_in_days=1)
    await keys.revoke(BY, first["id"])
    with pytest.raises(Conflict):
        await changed(keys, short, expires_in_days=MINUTE)
    longer = await changed(keys, short, expires_in_days=90)
    assert longer["expires_at"] > short["expires_at"]
    assert (await changed(keys, short, expires_in_days=None))["expires_at"] is None


async def test_a_scoped_key_may_end_at_any_time(keys: Keys) -> None:
    assert (await changed(keys, await made(keys), expires_in_days=MINUTE))["expires_at"] is not None


@pytest.mark.parametrize("given", [{"expires_in_days": 90}, {"expires_in_days": None}, {"rate_limit": 5}])
async def test_an_expired_key_does_not_become_good_again(keys: Keys, clock: Any, given: dict[str, Any]) -> None:
    key = await made(keys, expires_in_days=1)
    clock.turn(86_400)
    with pytest.raises(Conflict, match="has expired"):
        await changed(keys, key, **given)


async def create(plane: Any, identity: Identity, group: bool) -> None:
    if group:
        await plane.groups.create(identity, GroupCreate(prompt="work", each="*"))
    else:
        for _ in range(2):
            await plane.tasks.create(identity, TaskCreate(prompt="work"))


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize(("before", "after", "running"), [(1, None, 2), (None, 1, 1), (2, 1, 1), (1, 2, 2)])
async def test_a_task_that_was_asked_for_before_a_change_keeps_to_the_new_limit(
    plane: Any, keys: Keys, group: bool, before: int | None, after: int | None, running: int
) -> None:
    nodes = [await plane.node(name) for name in ("a", "b")]
    key = await made(keys, max_running=before)
    asking = plane.core.credentials.identify(key["api_key"])
    await changed(keys, key, max_running=after)
    await create(plane, asking, group)
    assert sum([bool(await plane.poll(node)) for node in nodes]) == running


@pytest.mark.parametrize(("before", "after", "running"), [(1, None, 2), (None, 1, 1), (2, 1, 1), (1, 2, 2)])
async def test_a_retry_keeps_to_the_limit_that_the_key_has_by_then(
    plane: Any, keys: Keys, before: int | None, after: int | None, running: int
) -> None:
    nodes = [await plane.node(name) for name in ("a", "b")]
    key = await made(keys, max_running=before)
    asking = plane.core.credentials.identify(key["api_key"])
    await create(plane, asking, group=False)
    failed = [await plane.done(nodes[0], "error", exit_code=1) for _ in range(2)]
    await changed(keys, key, max_running=after)
    for task in failed:
        await plane.tasks.retry(asking, task)
    assert sum([bool(await plane.poll(node)) for node in nodes]) == running
