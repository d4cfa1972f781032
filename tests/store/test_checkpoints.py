"""The write-ahead log becomes short again once its readers let go of it, and the writer waits for none of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from qb.store.checkpoints import LONG
from qb.store.database import Writer, connect

PATIENCE = 60
MUCH = "x" * (1 << 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "test.db"
    db = connect(found)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    db.close()
    return found


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    made = Writer(path)
    yield made
    made.close()


def log_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


async def write_mebibytes(writer: Writer, count: int) -> float:
    """Replace one large row again and again; returns the seconds of the slowest commit."""
    slowest = 0.0
    for _ in range(count):
        begun = time.monotonic()
        await writer.run(lambda db: db.execute("INSERT OR REPLACE INTO notes VALUES (1, ?)", (MUCH,)).rowcount)
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_the_log_is_begun_anew_when_the_last_reader_lets_go_and_nothing_more_is_written(
    writer: Writer, path: Path
) -> None:
    reader = connect(path, read_only=True)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        await write_mebibytes(writer, 20)
        assert log_size(path) > LONG, "the reader held it"
        seen = reader.execute("SELECT count(*) FROM notes").fetchone()[0]
        assert seen == 0, "and goes on seeing what it saw"
        reader.execute("COMMIT")
        await until(lambda: log_size(path) == 0)
    finally:
        reader.close()


async def test_a_reader_that_holds_the_log_delays_no_commit(writer: Writer, path: Path) -> None:
    await write_mebibytes(writer, 1)
    reader = connect(path, read_only=True)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        await write_mebibytes(writer, 20)
        begun = time.monotonic()
        await write_mebibytes(writer, 1)
        assert time.monotonic() - begun < 5, "a checkpoint that waited for the reader would take ten seconds"
        assert log_size(path) > LONG
    finally:
        reader.close()


async def test_readers_that_follow_on_each_other_do_not_let_the_log_grow(writer: Writer, path: Path) -> None:
    """Each looks at the newest state for a moment, and the next has begun before it ends."""
    readers = [connect(path, read_only=True) for _ in range(2)]
    largest = 0
    try:
        for turn in range(80):
            reader = readers[turn % 2]
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM notes").fetchone()
            other = readers[(turn + 1) % 2]
            await write_mebibytes(writer, 1)
            if other.in_transaction:
                other.execute("COMMIT")
            if turn % 8 == 7:  # what the dashboard's readers do when the log is long
                reader.execute("COMMIT")
                await until(lambda: log_size(path) < LONG)
            largest = max(largest, log_size(path))
    finally:
        for reader in readers:
            reader.close()
    assert largest < 2 * LONG


async def test_a_short_log_is_left_alone(writer: Writer, path: Path) -> None:
    await write_mebibytes(writer, 2)
    await asyncio.sleep(0)
    assert 0 < log_size(path) < LONG
