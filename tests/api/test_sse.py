"""Streams of server-sent events: nothing missed, nothing twice, and an end."""

import asyncio
import sqlite3
from typing import Any

import pytest

from qb.api import sse
from qb.api.sse import EventStream
from tests.api.conftest import Running

PAGE = 3
TASK = "task-1"
PATIENCE = 10


class Client:
    """One stream over a table of the test's own, and a client that can go away."""

    def __init__(self, running: Running, after: int = 0) -> None:
        self.running = running
        self._gone = asyncio.Event()
        self.stream = EventStream(running.core, self._receive, TASK, after, self._fetch, self._ended)

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        self._gone.set()

    @staticmethod
    def _fetch(db: sqlite3.Connection, after: int) -> list[tuple[int, bytes]]:
        rows = db.execute("SELECT id FROM test_rows WHERE id > ? AND id > 0 ORDER BY id LIMIT ?", (after, PAGE))
        return [(row["id"], b'{"n": %d}' % row["id"]) for row in rows]

    @staticmethod
    def _ended(db: sqlite3.Connection) -> bool:
        return db.execute("SELECT 1 FROM test_rows WHERE id = -1").fetchone() is not None

    async def ids(self) -> list[int]:
        """Read to the end of the stream."""
        text = b"".join([page async for page in self.stream]).decode()
        assert text.endswith("event: end\ndata: {}\n\n")
        return [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]


@pytest.fixture
async def table(running: Running) -> Running:
    await running.core.writer.run(lambda db: db.execute("CREATE TABLE test_rows (id INTEGER PRIMARY KEY)"))
    return running


async def add(running: Running, *ids: int) -> None:
    for number in ids:
        await running.core.writer.run(lambda db, n=number: db.execute("INSERT INTO test_rows VALUES (?)", (n,)))
        running.core.hub.publish(TASK)


async def test_everything_there_comes_in_pages_and_then_the_end(table: Running) -> None:
    await add(table, *range(1, 11), -1)
    assert await Client(table).ids() == list(range(1, 11))


async def test_rows_that_come_during_the_stream_are_neither_missed_nor_doubled(table: Running) -> None:
    clients = [asyncio.create_task(Client(table).ids()) for _ in range(5)]
    await add(table, *range(1, 101))
    await add(table, -1)
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*clients) == [list(range(1, 101))] * 5


async def test_a_stream_resumes_after_the_id_it_is_given(table: Running) -> None:
    await add(table, 1, 2, 3, 4, 5, -1)
    assert await Client(table, after=3).ids() == [4, 5]
    assert await Client(table, after=99).ids() == []


async def test_silence_is_filled_with_comments(table: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.01)
    client = Client(table)
    assert (await anext(client.stream)).startswith(b":")
    await client.stream.close()


async def test_a_client_that_goes_ends_its_stream_and_leaves_nothing_behind(table: Running) -> None:
    await add(table, 1)
    client = Client(table)
    assert b"id: 1\n" in await anext(client.stream)
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(anext(client.stream, None))
    await asyncio.sleep(0)
    client.leave()
    async with asyncio.timeout(PATIENCE):
        assert await waiting is None
    assert asyncio.all_tasks() <= before
    assert not table.core.hub._waiting


async def test_a_stopping_server_ends_a_stream_without_saying_that_the_task_has_ended(table: Running) -> None:
    client = Client(table)
    reading = asyncio.create_task(anext(client.stream, None))
    await asyncio.sleep(0)
    table.core.stopping.set()
    async with asyncio.timeout(PATIENCE):
        assert await reading is None


@pytest.mark.parametrize("sent", ["-1", "x", "1.5", "9223372036854775808", "9" * 30, "²"])
async def test_a_last_event_id_that_is_none_is_refused(sent: str, running: Running) -> None:
    task = (await running.http.post("/tasks", json={"prompt": "x"}, headers=running.admin)).json()
    headers = [
        ("X-API-Key", running.made.admin_key.encode()),
        ("Accept", b"text/event-stream"),
        ("Last-Event-ID", sent.encode("latin1")),
    ]
    answer = await running.http.get(f"/tasks/{task['id']}/events", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
