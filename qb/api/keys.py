"""API keys, registration tokens, and the audit log."""

from typing import Any

from falcon.asgi import Request, Response

from qb.api.media import read_model, reply, reply_aged, reply_page
from qb.contract.keys import KeyChange, KeyCreate, TokenCreate
from qb.contract.queries import LAST_CURSOR, AuditFilters, ChangeHeaders, KeyRotation
from qb.domain.etags import key_tag
from qb.service.audit import Audit
from qb.service.joining import RegistrationTokens
from qb.service.keys import Keys as KeyService


class Keys:
    """/keys and /keys/{key_id}"""

    def __init__(self, service: KeyService) -> None:
        self._service = service

    async def on_get(self, req: Request, resp: Response) -> None:
        """Keys without their secrets, the oldest first; X-Next-Cursor leads to the next page."""
        reply_aged(resp, await self._service.every(), req.context.query)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Make a key."""
        reply(resp, await self._service.create(req.context.actor, await read_model(req, KeyCreate)), 201)

    async def on_get_one(self, req: Request, resp: Response, key_id: str) -> None:
        """Show a key; its ETag is that of all but when it was last used."""
        _reply_tagged(resp, await self._service.one(key_id))

    async def on_patch_one(self, req: Request, resp: Response, key_id: str) -> None:
        """Change a key's limits."""
        headers: ChangeHeaders = req.context.headers
        body = await read_model(req, KeyChange)
        _reply_tagged(resp, await self._service.change(req.context.actor, key_id, body, if_match=headers.if_match))

    async def on_delete_one(self, req: Request, resp: Response, key_id: str) -> None:
        """Remove a key."""
        reply(resp, await self._service.remove(req.context.actor, key_id))

    async def on_post_rotate(self, req: Request, resp: Response, key_id: str) -> None:
        """Give a key a new secret."""
        query: KeyRotation = req.context.query
        reply(resp, await self._service.rotate(req.context.actor, key_id, grace_hours=query.grace_period_hours))

    async def on_post_revoke(self, req: Request, resp: Response, key_id: str) -> None:
        """Make a key good for nothing."""
        reply(resp, await self._service.revoke(req.context.actor, key_id))


def _reply_tagged(resp: Response, key: dict[str, Any]) -> None:
    resp.set_header("ETag", key_tag(key))
    reply(resp, key)


class Tokens:
    """/registration-tokens"""

    def __init__(self, service: RegistrationTokens) -> None:
        self._service = service

    async def on_get(self, req: Request, resp: Response) -> None:
        """Tokens without their secrets, the oldest first; X-Next-Cursor leads to the next page."""
        reply_aged(resp, await self._service.every(), req.context.query)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Make a token."""
        reply(resp, await self._service.create(req.context.actor, await read_model(req, TokenCreate)), 201)

    async def on_delete_one(self, req: Request, resp: Response, token_id: str) -> None:
        """Remove a token."""
        reply(resp, await self._service.remove(req.context.actor, token_id))


class AuditLog:
    """GET /keys/audit"""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def on_get(self, req: Request, resp: Response) -> None:
        """Who did what, the newest first; X-Next-Cursor leads to the next page."""
        query: AuditFilters = req.context.query
        before = LAST_CURSOR if query.cursor is None else query.cursor
        page, cursor = await self._audit.page(before=before, limit=query.limit, action=query.action)
        reply_page(resp, page, None if cursor is None else str(cursor))
