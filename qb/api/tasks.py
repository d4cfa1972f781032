"""Tasks: creation, listing, cancelling, reports and history."""

from falcon.asgi import Request, Response

from qb.api import sse
from qb.api.media import read_model, reply, reply_page, reply_tagged
from qb.contract.queries import ReadHeaders
from qb.contract.tasks import StatusReport, TaskCreate
from qb.domain.etags import entity_tag
from qb.service.core import Core
from qb.service.journals import HISTORY
from qb.service.reports import Reports
from qb.service.shortfalls import Shortfalls, refusal
from qb.service.tasks import Tasks as TaskService


class Tasks:
    """/tasks and /tasks/{task_id}"""

    def __init__(self, service: TaskService, shortfalls: Shortfalls) -> None:
        self._service = service
        self._shortfalls = shortfalls

    async def on_post(self, req: Request, resp: Response) -> None:
        """Create a task. With an Idempotency-Key that made it before, answer 200 and the same task."""
        body = await read_model(req, TaskCreate)
        identity, headers = req.context.identity, req.context.headers
        warnings = self._shortfalls.of(identity, body)
        refused = refusal(body, warnings)
        key, told = headers.idempotency_key, {"refusal": refused, "task_token": headers.task_token}
        if key is None:
            task, made = await self._service.create(identity, body, **told), True
        else:
            task, made = await self._service.create_once(identity, body, key, **told)
        reply(resp, task | {"warnings": list(warnings.values())}, 201 if made else 200)

    async def on_get(self, req: Request, resp: Response) -> None:
        """List tasks, newest first; X-Next-Cursor leads to the next page."""
        page, cursor = await self._service.page(req.context.identity, req.context.query)
        reply_page(resp, page, None if cursor is None else str(cursor))

    async def on_get_one(self, req: Request, resp: Response, task_id: str) -> None:
        """Show a task."""
        task = await self._service.one(req.context.identity, task_id)
        headers: ReadHeaders = req.context.headers
        reply_tagged(resp, task, entity_tag(task), headers.if_none_match)

    async def on_delete_one(self, req: Request, resp: Response, task_id: str) -> None:
        """Cancel a task."""
        reply(resp, await self._service.cancel(task_id, req.context.actor))

    async def on_post_retry(self, req: Request, resp: Response, task_id: str) -> None:
        """Make a task like one that failed."""
        reply(resp, await self._service.retry(req.context.identity, task_id), 201)


class TaskEvents:
    """GET /tasks/{task_id}/events, as JSON or as server-sent events"""

    def __init__(self, core: Core, service: TaskService) -> None:
        self._core = core
        self._service = service

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """The task's history."""
        await self._service.one(req.context.identity, task_id)
        await sse.answer(self._core, req, resp, task_id, HISTORY)


class StatusReports:
    """POST /status"""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    async def on_post(self, req: Request, resp: Response) -> None:
        """Take a report in."""
        body = await read_model(req, StatusReport)
        reply(resp, await self._reports.take(req.context.identity, body, user_agent=req.user_agent))
