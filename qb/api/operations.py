"""Webhooks, and cleaning up."""

from falcon.asgi import Request, Response

from qb.api.media import read_model, reply, reply_aged
from qb.contract.fleet import Cleaned
from qb.contract.queries import Cleanup
from qb.contract.webhooks import WebhookCreate
from qb.service.retention import Retention
from qb.service.webhooks import Webhooks as WebhookService


class Webhooks:
    """/webhooks and /webhooks/{webhook_id}"""

    def __init__(self, service: WebhookService) -> None:
        self._service = service

    async def on_get(self, req: Request, resp: Response) -> None:
        """Webhooks without their secrets, the oldest first; X-Next-Cursor leads to the next page."""
        reply_aged(resp, await self._service.every(), req.context.query)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Make a webhook."""
        reply(resp, await self._service.create(req.context.actor, await read_model(req, WebhookCreate)), 201)

    async def on_delete_one(self, req: Request, resp: Response, webhook_id: str) -> None:
        """Remove a webhook."""
        reply(resp, await self._service.remove(req.context.actor, webhook_id))


class TaskCleanup:
    """POST /tasks/cleanup"""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention

    async def on_post(self, req: Request, resp: Response) -> None:
        """Remove tasks that ended long ago."""
        query: Cleanup = req.context.query
        cleaned = await self._retention.clean_up(req.context.actor, query.days)
        reply(resp, Cleaned(tasks=cleaned.tasks, more=cleaned.more))
