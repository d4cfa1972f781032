"""Groups, schedules, and why a task is waiting."""

from falcon.asgi import Request, Response

from qb.api.media import read_model, reply, reply_page
from qb.contract.queries import LAST_CURSOR, NewestPage
from qb.contract.tasks import GroupCreate
from qb.service.core import Core
from qb.service.groups import Groups as GroupService
from qb.service.registry import Registry
from qb.service.schedules import Schedules as ScheduleService
from qb.service.shortfalls import Shortfalls, refusal
from qb.service.why import why


class Groups:
    """/groups and /groups/{group_id}"""

    def __init__(self, service: GroupService, shortfalls: Shortfalls) -> None:
        self._service = service
        self._shortfalls = shortfalls

    async def on_post(self, req: Request, resp: Response) -> None:
        """Make one task for each matching node."""
        body = await read_model(req, GroupCreate)
        warnings = self._shortfalls.of(req.context.identity, body)
        refused = refusal(body, warnings)
        if refused is not None:
            raise refused
        group = await self._service.create(req.context.identity, body)
        reply(resp, group | {"warnings": list(warnings.values())}, 201)

    async def on_get(self, req: Request, resp: Response) -> None:
        """The newest groups, without their tasks."""
        await _newest(req, resp, self._service)

    async def on_get_one(self, req: Request, resp: Response, group_id: str) -> None:
        """A group with its tasks."""
        reply(resp, await self._service.one(req.context.identity, group_id))

    async def on_delete_one(self, req: Request, resp: Response, group_id: str) -> None:
        """Cancel every task of a group."""
        reply(resp, await self._service.cancel(req.context.actor, group_id))


class Schedules:
    """/schedules and /schedules/{task_id}"""

    def __init__(self, service: ScheduleService) -> None:
        self._service = service

    async def on_get(self, req: Request, resp: Response) -> None:
        """The newest schedules."""
        await _newest(req, resp, self._service)

    async def on_get_one(self, req: Request, resp: Response, task_id: str) -> None:
        """One schedule."""
        reply(resp, await self._service.one(task_id))

    async def on_delete_one(self, req: Request, resp: Response, task_id: str) -> None:
        """End a schedule; the runs that it made stay."""
        reply(resp, await self._service.remove(req.context.actor, task_id))


async def _newest(req: Request, resp: Response, service: GroupService | ScheduleService) -> None:
    query: NewestPage = req.context.query
    before = LAST_CURSOR if query.cursor is None else query.cursor
    page, cursor = await service.page(req.context.identity, before=before, limit=query.limit)
    reply_page(resp, page, None if cursor is None else str(cursor))


class WhyResource:
    """GET /tasks/{task_id}/why"""

    def __init__(self, core: Core, registry: Registry) -> None:
        self._core = core
        self._registry = registry

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """Why the task is not running."""
        reply(resp, await why(self._core, self._registry, req.context.identity, task_id))
