"""GET /openapi.json and GET /docs: the API described for programs and for people, from one source."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from falcon.asgi import Request, Response

from qb.api.openapi import document
from qb.api.reference_page import CONTENT_POLICY, page


class Documentation:
    """Both are made once, when they are first asked for."""

    def __init__(self) -> None:
        self._about: dict[str, str | None] = {}
        self._document: bytes | None = None
        self._page: bytes | None = None

    def describe(self, served: Mapping[str, Callable[..., Any]]) -> None:
        """Document these responders, by the name of their route: their docstrings say what they do."""
        self._about = {name: responder.__doc__ for name, responder in served.items()}

    async def on_get_json(self, req: Request, resp: Response) -> None:
        """Describe the API as OpenAPI 3.1."""
        if self._document is None:
            self._document = await asyncio.to_thread(lambda: orjson.dumps(document(self._about)))
        resp.data = self._document

    async def on_get_page(self, req: Request, resp: Response) -> None:
        """Describe the API for reading: one page that loads nothing."""
        if self._page is None:
            self._page = await asyncio.to_thread(lambda: page(document(self._about)).encode())
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Content-Security-Policy", CONTENT_POLICY)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.data = self._page
