"""The watch over Litestream, with a program in its place that ends when the test wants."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from qb.service import replication
from qb.service.replication import Replicator

ENDS = "#!/bin/sh\necho began >>{0}\n"
STAYS = "#!/bin/sh\necho began >>{0}\nexec sleep 60\n"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is started in Litestream's place; nothing yet."""
    made = tmp_path / "litestream"
    monkeypatch.setattr(replication, "program", lambda: made)
    monkeypatch.setattr(replication, "RESTART_PAUSES", (0.02, 0.05))
    return made


def put(program: Path, text: str) -> None:
    fresh = program.with_suffix(".new")
    fresh.write_text(text.format(program.with_name("starts")))
    fresh.chmod(0o755)
    fresh.rename(program)


def remove(program: Path) -> None:
    program.unlink()


def starts(program: Path) -> int:
    noted = program.with_name("starts")
    return len(noted.read_text().splitlines()) if noted.exists() else 0


async def until(there: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not there():  # noqa: ASYNC110  what changes elsewhere has no event to wait for
            await asyncio.sleep(0.01)


async def test_one_that_cannot_be_started_for_a_while_is_tried_again_and_told_of(tmp_path: Path, program: Path) -> None:
    put(program, ENDS)
    replicator = Replicator(tmp_path, "file:///srv/replica")
    with structlog.testing.capture_logs() as logged:
        await replicator.start()
        await until(lambda: starts(program) > 1)
        remove(program)  # as while it is being replaced, or with no process to be had
        await until(lambda: any("cannot be started" in entry["event"] for entry in logged))
        before = starts(program)
        put(program, STAYS)
        await until(lambda: starts(program) > before)
        remove(program)
        await replicator.stop()
    (last,) = [entry for entry in logged if "cannot send the rest" in entry["event"]]
    assert "No such file" in last["error"]


async def test_after_a_long_run_the_first_pause_counts_again(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "STEADY", 0.0)
    put(program, ENDS)
    replicator = Replicator(tmp_path, "file:///srv/replica")
    with structlog.testing.capture_logs() as logged:
        await replicator.start()
        await until(lambda: starts(program) > 4)
        await replicator.stop()
    assert {entry["seconds"] for entry in logged if "ended by itself" in entry["event"]} == {0.02}
