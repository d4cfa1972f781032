"""falcon's application class, with the two things that it lacks for us."""

from time import perf_counter
from typing import Any
from urllib.parse import quote

import falcon.asgi

from qb.api.lifespan import Lifespan


class Api(falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]):
    """falcon's app, with `receive` in the scope for whoever must notice that a client has gone."""

    __slots__ = ("lifespan",)
    lifespan: Lifespan

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:  # type: ignore[override]
        scope["qb.receive"] = receive
        scope["qb.begun"] = perf_counter()
        query = scope.get("query_string", b"")
        if not query.isascii():
            scope["query_string"] = quote(query, safe="=&%+;/?:@,~").encode()  # falcon decodes it as UTF-8
        try:
            await super().__call__(scope, receive, send)
        finally:
            # The server's own record of the request holds the scope: a circle, which only the collector would free.
            del scope["qb.receive"]
