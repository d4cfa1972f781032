"""Artifacts: what tasks leave behind."""

from urllib.parse import quote

from falcon.asgi import Request, Response

from qb.api.bodies import chunks
from qb.api.files import send
from qb.api.media import reply, reply_named
from qb.contract.queries import ArtifactPut, DigestHeaders, NamePage
from qb.service.artifacts import Artifacts as ArtifactService


class Artifacts:
    """/tasks/{task_id}/artifacts and /tasks/{task_id}/artifacts/{name}"""

    def __init__(self, artifacts: ArtifactService) -> None:
        self._artifacts = artifacts

    async def on_put(self, req: Request, resp: Response, task_id: str, name: str) -> None:
        """Keep one; `attempt` says whose it is."""
        query: ArtifactPut = req.context.query
        headers: DigestHeaders = req.context.headers
        stored = await self._artifacts.put(
            req.context.identity,
            task_id,
            name,
            chunks(req),
            digest=headers.digest,
            attempt=query.attempt or None,
            size=req.content_length,
        )
        reply(resp, stored, 201)

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """List them by name; X-Next-Cursor leads to the next page."""
        query: NamePage = req.context.query
        found = await self._artifacts.page(task_id, after=query.cursor, limit=query.limit)
        reply_named(resp, found, query.limit)

    async def on_get_one(self, req: Request, resp: Response, task_id: str, name: str) -> None:
        """Send one."""
        file, blob = await self._artifacts.one(task_id, name)
        resp.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(file.name, safe='')}")
        await send(req, resp, file, blob)
