"""The record of playbook runs."""

from falcon.asgi import Request, Response

from qb.api.media import read_model, reply, reply_page
from qb.contract.provisioning import ProvisionRunCreate
from qb.contract.queries import LAST_CURSOR, NewestPage
from qb.service.provisioning import Provisioning

RECORD_LIMIT = 16 << 20
"""Bytes: a run on thousands of hosts fits."""


class ProvisionRuns:
    """/provision-runs and /provision-runs/{run_id}"""

    def __init__(self, service: Provisioning) -> None:
        self._service = service

    async def on_post(self, req: Request, resp: Response) -> None:
        """Keep a run that has ended."""
        body = await read_model(req, ProvisionRunCreate, limit=RECORD_LIMIT)
        reply(resp, await self._service.record(req.context.actor, body), 201)

    async def on_get(self, req: Request, resp: Response) -> None:
        """The newest runs; X-Next-Cursor leads to the next page."""
        query: NewestPage = req.context.query
        before = LAST_CURSOR if query.cursor is None else query.cursor
        page, cursor = await self._service.page(before=before, limit=query.limit)
        reply_page(resp, page, None if cursor is None else str(cursor))

    async def on_get_one(self, req: Request, resp: Response, run_id: str) -> None:
        """One run."""
        reply(resp, await self._service.one(run_id))
