"""The group-commit writer: what one caller does wrong costs the others nothing, and an answer means durable."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from qb.domain.errors import Conflict, Overloaded, StorageFull
from qb.store.database import Readers, Writer, connect

PATIENCE = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "test.db"
    db = connect(found)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)")
    db.close()
    return found


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    made = Writer(path, queue_limit=50)
    yield made
    made.close()


def note(text: str) -> Callable[[sqlite3.Connection], int]:
    def work(db: sqlite3.Connection) -> int:
        return int(db.execute("INSERT INTO notes (text) VALUES (?)", (text,)).lastrowid or 0)

    return work


def texts(path: Path) -> set[str]:
    db = connect(path, read_only=True)
    try:
        return {row["text"] for row in db.execute("SELECT text FROM notes")}
    finally:
        db.close()


class Held:
    """Keeps the writer busy, so that what follows is queued into one group."""

    def __init__(self, writer: Writer) -> None:
        self._let_go = threading.Event()
        self._entered = threading.Event()
        self._task = asyncio.ensure_future(writer.run(self._work))

    def _work(self, db: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._let_go.wait(PATIENCE)

    async def entered(self) -> None:
        await asyncio.to_thread(self._entered.wait, PATIENCE)

    async def release(self) -> None:
        self._let_go.set()
        await self._task


async def test_an_answer_means_that_another_connection_can_read_it(writer: Writer, path: Path) -> None:
    await writer.run(note("kept"))
    assert texts(path) == {"kept"}


async def test_what_waits_together_is_committed_together(writer: Writer, path: Path) -> None:
    held = Held(writer)
    await held.entered()
    waiting = [asyncio.ensure_future(writer.run(note(f"n{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    before = writer.groups
    await held.release()
    assert len(set(await asyncio.gather(*waiting))) == 20
    assert writer.groups == before + 1
    assert len(texts(path)) == 20


async def test_work_that_fails_is_undone_alone(writer: Writer, path: Path) -> None:
    def half(db: sqlite3.Connection) -> None:
        note("half")(db)
        raise Conflict("no")

    held = Held(writer)
    await held.entered()
    works: list[Callable[[sqlite3.Connection], object]] = [note("first"), half, note("first"), note("last")]
    waiting = [asyncio.ensure_future(writer.run(work)) for work in works]
    await asyncio.sleep(0)
    await held.release()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [int, Conflict, sqlite3.IntegrityError, int]
    assert texts(path) == {"first", "last"}


async def test_a_full_queue_refuses_and_loses_nothing_that_it_took(writer: Writer, path: Path) -> None:
    held = Held(writer)
    await held.entered()
    taken = [asyncio.ensure_future(writer.run(note(f"n{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await writer.run(note("one too many"))
    await held.release()
    await asyncio.gather(*taken)
    assert len(texts(path)) == 50


async def test_a_caller_that_goes_away_does_not_disturb_the_group(writer: Writer, path: Path) -> None:
    held = Held(writer)
    await held.entered()
    gone, stays = (asyncio.ensure_future(writer.run(note(text))) for text in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    await held.release()
    await stays
    assert texts(path) == {"gone", "stays"}


async def test_a_full_disk_is_said_and_passes(writer: Writer, path: Path) -> None:
    pages = await writer.run(lambda db: int(db.execute("PRAGMA page_count").fetchone()[0]))
    await writer.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())
    with pytest.raises(StorageFull):
        await writer.run(note("x" * 1_000_000))
    assert texts(path) == set()
    await writer.run(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    await writer.run(note("room again"))
    assert texts(path) == {"room again"}


async def test_closing_finishes_what_is_queued_and_takes_no_more(path: Path) -> None:
    writer = Writer(path)
    waiting = [asyncio.ensure_future(writer.run(note(f"n{number}"))) for number in range(10)]
    await asyncio.sleep(0)
    writer.close()
    assert len(await asyncio.gather(*waiting)) == 10
    with pytest.raises(Overloaded):
        await writer.run(note("late"))


async def test_readers_cannot_write(path: Path) -> None:
    readers = Readers(path)
    try:
        with pytest.raises(sqlite3.OperationalError):
            await readers.run(note("no"))
    finally:
        readers.close()


async def test_every_commit_is_synced_to_the_disk(writer: Writer) -> None:
    full = 2
    assert await writer.run(lambda db: db.execute("PRAGMA synchronous").fetchone()[0]) == full
