"""Server-sent events of one task: from the database, woken by commits, resumed by id.

Each row is an event with an `id:` and one line of JSON as `data:`. When the task has ended and all is sent, a
last `event: end` comes. Comments keep a silent stream alive.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import orjson
from falcon.asgi import Request, Response

from qb.api.media import reply_page
from qb.contract.queries import RecordPage, ResumeHeaders
from qb.service.core import Core
from qb.service.journals import Journal, ended

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent."""

_COMMENT = b": still here\n\n"
_END = b"event: end\ndata: {}\n\n"

Row = tuple[int, bytes]
Fetch = Callable[[sqlite3.Connection, int], list[Row]]
"""A bounded page of (id, JSON without line breaks) with ids above the one given, ascending."""

Ended = Callable[[sqlite3.Connection], bool]
"""Whether nothing more will come."""

Receive = Callable[[], Awaitable[dict[str, Any]]]


def wanted(req: Request) -> bool:
    """Whether the caller asks for a stream rather than an array."""
    return "text/event-stream" in req.accept


async def answer(core: Core, req: Request, resp: Response, task_id: str, journal: Journal) -> None:
    """Answer with the task's entries after the cursor: one page, or a stream of all that come where that is asked for.

    A stream begins after `Last-Event-ID`, where that is sent. It ends after the last entry of a task that has ended,
    when the client goes or its key is no longer good, and when the server stops.
    """
    query: RecordPage = req.context.query
    headers: ResumeHeaders = req.context.headers
    if not wanted(req):
        page = await core.readers.run(lambda db: journal.page(db, task_id, after=query.cursor, limit=query.limit))
        # A page of long texts ends early: only an empty one is surely the last.
        reply_page(resp, page, str(page[-1]["id"]) if page else None)
        return

    def fetch(db: sqlite3.Connection, last: int) -> list[Row]:
        rows = journal.page(db, task_id, after=last, limit=journal.rows)
        return [(row["id"], orjson.dumps(row)) for row in rows]

    start = query.cursor if headers.last_event_id is None else headers.last_event_id
    resp.content_type = "text/event-stream"
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("X-Accel-Buffering", "no")
    key = req.get_header("X-API-Key")
    resp.stream = EventStream(
        core,
        req.scope["qb.receive"],
        task_id,
        start,
        fetch,
        lambda db: ended(db, task_id),
        allowed=lambda: core.credentials.accepts(key),
    )


class EventStream:
    """One client's stream; falcon iterates it and closes it. What comes once it is not `allowed` is not sent."""

    def __init__(
        self,
        core: Core,
        receive: Receive,
        task_id: str,
        after: int,
        fetch: Fetch,
        ended: Ended,
        *,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._core = core
        self._receive = receive
        self._task_id = task_id
        self._after = after
        self._fetch = fetch
        self._ended = ended
        self._allowed = allowed
        self._running = self._run()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._running)

    async def close(self) -> None:
        """Stop watching; falcon calls it when the answer is over, however it ended."""
        await self._running.aclose()

    async def _run(self) -> AsyncGenerator[bytes, None]:
        wake = self._core.hub.subscribe(self._task_id)
        over = [asyncio.create_task(self._gone()), asyncio.create_task(self._stopping())]
        try:
            async with aclosing(self._pages(wake, over)) as pages:
                async for page in pages:
                    yield page
        finally:
            self._core.hub.unsubscribe(self._task_id, wake)
            await _cancel(over)

    async def _pages(self, wake: asyncio.Event, over: list[asyncio.Task[None]]) -> AsyncGenerator[bytes, None]:
        while not any(task.done() for task in over):
            wake.clear()
            ended, rows = await self._core.readers.run(self._read)
            if not self._allowed():
                return
            if rows:
                self._after = rows[-1][0]
                yield b"".join(b"id: %d\ndata: %b\n\n" % row for row in rows)
            elif ended:
                yield _END
                return
            elif not await _woken(wake, over):
                yield _COMMENT

    def _read(self, db: sqlite3.Connection) -> tuple[bool, list[Row]]:
        # Asked in this order: when it had ended by then, the page that follows misses nothing.
        return self._ended(db), self._fetch(db, self._after)

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stopping(self) -> None:
        await self._core.stopping.wait()


async def _woken(wake: asyncio.Event, over: list[asyncio.Task[None]]) -> bool:
    """Wait for news or the stream's end; False when neither came in time."""
    news = asyncio.create_task(_wait(wake))
    try:
        done, _ = await asyncio.wait([news, *over], timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel([news])
    return bool(done)


async def _wait(wake: asyncio.Event) -> None:
    await wake.wait()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
