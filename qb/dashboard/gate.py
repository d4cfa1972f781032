"""What stands in front of every page: who is not signed in sees the sign-in page, its style, and nothing else."""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, unquote

from datasette.utils.asgi import Request, Response

from qb.dashboard import sessions, yielding
from qb.dashboard.accounts import Accounts
from qb.dashboard.place import Place
from qb.dashboard.roles import Role

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

SIGN_IN = "/-/sign-in"
_ANYONE = (SIGN_IN, "/favicon.ico", "/-/healthz")
_FOR_VIEWERS = (SIGN_IN, "/-/logout", "/-/static/", "/-/static-plugins/", "/-/actor")
_INTERNALS = {
    Role.VIEWER: _FOR_VIEWERS,
    Role.ANALYST: (*_FOR_VIEWERS, "/-/databases", "/-/settings", "/-/versions"),
}
"""Of Datasette's own pages under /-/, those that each has use for."""
_BOARDS = re.compile(r"/-/dashboards(/[a-z_]+)?")
"""The list of what datasette-dashboards draws, and a page of it: its pages of single charts are not in our look."""
_NOWHERE = "/-/nowhere"
"""What Datasette is asked for in the place of its other pages: it answers that there is no such page."""

current: ContextVar[Request | None] = ContextVar("current_request", default=None)
"""The request that permission checks are made for: Datasette does not tell them."""


class Gate:
    """An ASGI application around Datasette's."""

    def __init__(self, datasette: Any, app: App) -> None:
        self._datasette = datasette
        self._app = app
        self._place = Place(yielding.data_dir(datasette))
        self._accounts = Accounts(self._place)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = self._path(scope)
        # Datasette would put the prefix before some links twice, were it left in the path
        scope = {**scope, "path": unquote(path), "raw_path": path.encode("ascii", "replace")}
        request = Request(scope, receive)
        if path == "/-/healthz":
            await Response.text("ok").asgi_send(send)
            return
        if not _is_open(path):
            role = sessions.role(sessions.actor(self._datasette, request, self._accounts))
            if role is None:
                await self._sign_in_first(request, path).asgi_send(send)
                return
            if path.startswith("/-/") and not (_among(path, _INTERNALS[role]) or _BOARDS.fullmatch(path)):
                nowhere = _NOWHERE + (".json" if path.endswith(".json") else "")
                scope = {**scope, "path": nowhere, "raw_path": nowhere.encode()}
        token = current.set(request)
        try:
            await yielding.let_the_writer_by(self._place.database)
            await self._app(scope, receive, _keeping_the_session(path, send))
        finally:
            current.reset(token)

    def _sign_in_first(self, request: Any, path: str) -> Response:
        if request.method not in ("GET", "HEAD") or "." in path.rpartition("/")[2]:
            return _refused(path, "sign in first: `qb dashboard open` makes a link", 401)
        wanted = f"{path}?{request.query_string}" if request.query_string else path
        where = self._datasette.urls.path(SIGN_IN) + ("" if wanted == "/" else f"?next={quote(wanted, safe='/')}")
        return Response.redirect(str(where), headers={"Cache-Control": "no-store"})

    def _path(self, scope: Mapping[str, Any]) -> str:
        """The path as Datasette's router reads it: quoted, and without the prefix that a proxy may have left there."""
        raw = scope.get("raw_path")
        path = raw.decode("ascii", "replace").partition("?")[0] if raw else quote(scope["path"])
        base = self._datasette.setting("base_url")
        return "/" + path[len(base) :] if base != "/" and f"{path}/".startswith(base) else str(path)


def _is_open(path: str) -> bool:
    return path.startswith("/assets/") or path in _ANYONE


def _among(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith((f"{each.rstrip('/')}/", f"{each}.")) for each in allowed)


def _refused(path: str, why: str, status: int) -> Response:
    if path.endswith(".json"):
        return Response.json({"ok": False, "error": why, "status": status}, status=status)
    return Response.text(f"{why}\n", status=status, headers={"Cache-Control": "no-store"})


def _keeping_the_session(path: str, send: Any) -> Any:
    """Only signing in and out touch the session's cookie: datasette-dashboards would repeat it, open to scripts."""
    if path in (SIGN_IN, "/-/logout"):
        return send
    mark = f"{sessions.COOKIE}=".encode()

    async def without(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if not (name.lower() == b"set-cookie" and value.startswith(mark))
            ]
            message = {**message, "headers": kept}
        await send(message)

    return without
