"""A task's output and transcripts."""

import asyncio
import sqlite3

import orjson
from falcon.asgi import Request, Response

from qb.api import sse
from qb.api.media import LOGS_LIMIT, OUTPUT_LIMIT, encode, read_model, reply
from qb.api.tasks import NO_CURSOR, whole
from qb.contract.logs import SessionUpload
from qb.contract.tasks import OutputBatch
from qb.service.core import Core
from qb.service.output import Output, output_rows
from qb.service.tasks import ended
from qb.service.transcripts import Transcripts

PAGE = 1000


class TaskOutput:
    """/tasks/{task_id}/output, as JSON or as server-sent events"""

    def __init__(self, core: Core, output: Output) -> None:
        self._core = core
        self._output = output

    async def on_post(self, req: Request, resp: Response, task_id: str) -> None:
        """Take a batch in."""
        body = await read_model(req, OutputBatch, limit=OUTPUT_LIMIT)
        reply(resp, await self._output.take(req.context.identity, task_id, body))

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """Give it out."""
        if sse.wanted(req):
            await self._output.page(task_id, after=0, limit=1)

            def fetch(db: sqlite3.Connection, after: int) -> list[tuple[int, bytes]]:
                return [(row["id"], orjson.dumps(row)) for row in output_rows(db, task_id, after)]

            await sse.follow(self._core, req, resp, task_id, fetch, lambda db: ended(db, task_id))
            return
        after = whole(req, "after", default=0, low=0, high=NO_CURSOR)
        limit = whole(req, "limit", default=PAGE, low=1, high=5 * PAGE)
        reply(resp, await self._output.page(task_id, after=after, limit=limit))


class SessionLogs:
    """POST /logs and GET /logs/{task_id}"""

    def __init__(self, transcripts: Transcripts) -> None:
        self._transcripts = transcripts

    async def on_post(self, req: Request, resp: Response) -> None:
        """Keep a session."""
        body = await read_model(req, SessionUpload, limit=LOGS_LIMIT)
        reply(resp, await self._transcripts.take(req.context.identity, body))

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """The task's sessions."""
        sessions = await self._transcripts.show(task_id)
        # Tens of megabytes, at times: not on the event loop.
        resp.data = await asyncio.to_thread(encode, sessions)
