"""Whether the server says that it is fit for work."""

import asyncio
from pathlib import Path

import pytest

from qb.service.scheduler import Scheduler
from tests.api.conftest import serving


async def test_a_server_whose_clockwork_has_died_is_not_ready_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tick(_: Scheduler) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Scheduler, "tick", tick)
    async with serving(tmp_path / "qb") as running, asyncio.timeout(10):
        while (answer := await running.http.get("/readyz")).status_code == 200:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.01)
        assert answer.status_code == 503
        assert answer.json()["checks"]["background"].startswith("died: Scheduler.run (RuntimeError)")
        alive = await running.http.get("/health")
        assert (alive.status_code, alive.json()["status"]) == (200, "degraded")
