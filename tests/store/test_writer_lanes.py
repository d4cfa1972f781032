"""Works of many rows share the writer with short ones, and never make these wait for long."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qb.store.database import BULK_ROWS, GROUP_LIMIT, Writer, connect

PATIENCE = 20


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    path = tmp_path / "test.db"
    db = connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    made = Writer(path)
    yield made
    made.close()


class Order:
    """Which work was done in which group, in order; the first one waits until it is let go."""

    def __init__(self, writer: Writer) -> None:
        self.done: list[tuple[int, str]] = []
        self._writer = writer
        self._busy, self._held = threading.Event(), threading.Event()

    async def hold(self) -> "asyncio.Task[None]":
        """Keep the writer busy until `release`."""
        held = asyncio.create_task(self._writer.run(lambda _: self._wait()))
        assert await asyncio.to_thread(self._busy.wait, PATIENCE)
        return held

    def release(self) -> None:
        self._held.set()

    def work(self, name: str, rows: int = 0) -> "asyncio.Task[None]":
        def note(_: sqlite3.Connection) -> None:
            self.done.append((self._writer.groups, name))

        return asyncio.create_task(self._writer.run(note, rows=rows))

    def _wait(self) -> None:
        self._busy.set()
        assert self._held.wait(PATIENCE)


async def test_short_works_go_before_large_ones_and_a_group_takes_only_so_many_rows(writer: Writer) -> None:
    order = Order(writer)
    waiting = [await order.hold()]
    waiting += [order.work(f"large {n}", rows=BULK_ROWS // 2) for n in range(5)]
    waiting += [order.work(f"short {n}") for n in range(3)]
    await asyncio.sleep(0)
    order.release()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)
    first = order.done[0][0]
    assert [(group - first, name) for group, name in order.done] == [
        *[(0, f"short {n}") for n in range(3)],
        (0, "large 0"),
        (0, "large 1"),
        (1, "large 2"),
        (1, "large 3"),
        (2, "large 4"),
    ]


async def test_large_works_go_on_however_many_short_ones_wait(writer: Writer) -> None:
    order = Order(writer)
    waiting = [await order.hold()]
    waiting += [order.work("short") for _ in range(3 * GROUP_LIMIT)]
    waiting += [order.work("large", rows=1) for _ in range(3)]
    await asyncio.sleep(0)
    order.release()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)
    first = order.done[0][0]
    assert [group - first for group, name in order.done if name == "large"] == [0, 1, 2]
    assert max(writer.sizes) <= 3
