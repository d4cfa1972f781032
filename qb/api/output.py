"""A task's output and transcripts."""

import asyncio

from falcon.asgi import Request, Response

from qb.api import sse
from qb.api.media import LOGS_LIMIT, OUTPUT_LIMIT, encode, read_model, reply
from qb.contract.logs import SessionUpload
from qb.contract.tasks import OutputBatch
from qb.service.core import Core
from qb.service.journals import OUTPUT
from qb.service.output import Output
from qb.service.tasks import Tasks
from qb.service.transcripts import Transcripts


class TaskOutput:
    """/tasks/{task_id}/output, as JSON or as server-sent events"""

    def __init__(self, core: Core, tasks: Tasks, output: Output) -> None:
        self._core = core
        self._tasks = tasks
        self._output = output

    async def on_post(self, req: Request, resp: Response, task_id: str) -> None:
        """Take a batch in."""
        body = await read_model(req, OutputBatch, limit=OUTPUT_LIMIT)
        reply(resp, await self._output.take(req.context.identity, task_id, body))

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """Give it out."""
        await self._tasks.one(req.context.identity, task_id)
        await sse.answer(self._core, req, resp, task_id, OUTPUT)


class SessionLogs:
    """POST /logs and GET /logs/{task_id}"""

    def __init__(self, transcripts: Transcripts) -> None:
        self._transcripts = transcripts

    async def on_post(self, req: Request, resp: Response) -> None:
        """Keep a session."""
        body = await read_model(req, SessionUpload, limit=LOGS_LIMIT)
        reply(resp, await self._transcripts.take(req.context.identity, body, user_agent=req.user_agent))

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """The task's sessions."""
        sessions = await self._transcripts.show(task_id)
        # Tens of megabytes, at times: not on the event loop.
        resp.data = await asyncio.to_thread(encode, sessions)
