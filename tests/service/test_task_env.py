"""The environments of tasks: with whoever gets the task, and nowhere else once it has ended."""

from typing import Any

import pytest

from qb.domain.errors import Conflict
from qb.service import task_env
from qb.store import task_env as store
from tests.service.conftest import ADMIN


async def kept(plane: Any) -> dict[str, str]:
    return await plane.core.keys.run(store.kept)  # type: ignore[no-any-return]


async def test_a_poll_and_a_push_hand_the_values_over(plane: Any) -> None:
    node = await plane.node()
    await plane.task(env={"A": "1"})
    assert (await plane.poll(node))["env"] == {"A": "1"}
    other = await plane.node("cloud", mode="push", api_endpoint="http://192.0.2.7:8080")
    await plane.task(env={"B": "2"})
    assert (await plane.dispatch.reserve(other))["env"] == {"B": "2"}


async def test_values_live_until_the_task_has_ended_and_a_retry_is_refused_then(plane: Any) -> None:
    node = await plane.node()
    task = (await plane.started(node, env={"A": "1"}))["task_id"]
    await task_env.forget_ended(plane.core)
    assert len(await kept(plane)) == 1
    await plane.runner(node, task, "error", attempt=1, exit_code=1)
    await task_env.forget_ended(plane.core)
    assert await kept(plane) == {}
    with pytest.raises(Conflict, match="environment"):
        await plane.tasks.retry(ADMIN, task)


async def test_a_task_whose_values_are_lost_ends_and_says_so(plane: Any) -> None:
    node = await plane.node()
    task = await plane.task(env={"A": "1"})
    await plane.core.keys.run(lambda db: store.forget(db, store.kept(db)))
    assert await plane.poll(node) is None
    shown = await plane.show(task)
    assert (shown["status"], shown["reason"]) == ("error", "undeliverable")
    assert "environment" in shown["error_message"]
