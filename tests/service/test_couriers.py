"""Couriers of push nodes, as the dispatcher starts them, and starts them again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from qb.contract.nodes import NodeCreate
from qb.contract.push import PushStatus
from qb.contract.states import NodeDispatch, NodeMode
from qb.push import dispatcher
from qb.push.dispatcher import Dispatcher
from qb.push.transport import PushNode
from tests.service.conftest import OPERATOR, Plane
from tests.service.test_pings import Line


class Broken(Line):
    """A way with a bug: it raises what no transport may, `times` times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.asked = 0
        self._times = times

    async def status(self, node: PushNode) -> PushStatus | None:
        """Raise, or say that the node holds nothing."""
        self.asked += 1
        if self.asked <= self._times:
            raise RuntimeError("a bug")
        return await super().status(node)


async def until(there: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not there():  # noqa: ASYNC110  what changes elsewhere has no event to wait for
            await asyncio.sleep(0.01)


async def test_a_courier_that_dies_is_told_of_and_another_comes_after_a_pause(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(dispatcher, "RESTART_SECONDS", 0.2)
    body = NodeCreate(name="vault", mode=NodeMode.PUSH, dispatch=NodeDispatch.ANSIBLE, address="192.0.2.7")
    await plane.nodes.create(OPERATOR, body)
    line = Broken(times=2)
    running = Dispatcher(plane.core, plane.registry, plane.waiters, plane.dispatch, line)
    began = asyncio.get_running_loop().time()
    with structlog.testing.capture_logs() as logged:
        task = asyncio.create_task(running.run())
        try:
            await until(lambda: line.pings)
            assert asyncio.get_running_loop().time() - began >= 0.4, "it does not die in a hot loop"
        finally:
            plane.core.stopping.set()
            await task
    assert [entry["log_level"] for entry in logged if "courier died" in entry["event"]] == ["critical"] * 2
