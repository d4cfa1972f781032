"""What stands in front of every page: who is not signed in sees the sign-in page, its style, and nothing else."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from datasette.utils.asgi import Request, Response

from qb.dashboard import intake, sessions, yielding
from qb.dashboard.place import Place
from qb.dashboard.roles import Role

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

SIGN_IN = "/-/sign-in"
SIGN_OUT = "/-/logout"
_ANYONE = (SIGN_IN, "/favicon.ico", "/-/healthz")
_FOR_VIEWERS = (SIGN_IN, SIGN_OUT, "/-/static/", "/-/static-plugins/", "/-/actor")
_INTERNALS = {
    Role.VIEWER: _FOR_VIEWERS,
    Role.ANALYST: (*_FOR_VIEWERS, "/-/databases", "/-/settings", "/-/versions"),
}
"""Of Datasette's own pages under /-/, those that each has use for."""
_BOARDS = re.compile(r"/-/dashboards(/[a-z_]+)?")
"""The list of what datasette-dashboards draws, and a page of it: its pages of single charts are not in our look."""
_FORMS = (SIGN_IN, SIGN_OUT)
"""What takes a POST."""
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

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = self._path(scope)
        scope = {**scope, **_addressed(path), "headers": intake.own_cookies(scope["headers"])}
        request = Request(scope, receive)
        role = None if _is_open(path) else sessions.role(sessions.actor(self._datasette, request, self._place))
        answer = self._answer(request, path, role)
        if answer is None and request.method == "POST":
            form = await intake.form(request, receive)
            answer, receive = (_refused(path, *form), receive) if isinstance(form, tuple) else (None, form)
        if answer is not None:
            await answer.asgi_send(send)
            return
        if _is_hidden(path, role):
            scope = {**scope, **_addressed(_NOWHERE + (".json" if path.endswith(".json") else ""))}
        token = current.set(request)
        try:
            await yielding.let_the_writer_by(self._place.database)
            await self._app(scope, receive, self._outgoing(request, path, send))
        finally:
            current.reset(token)

    def _answer(self, request: Request, path: str, role: Role | None) -> Response | None:
        """What is said here; None for a request that Datasette is to answer."""
        if path == "/-/healthz":
            return Response.text("ok")
        if (too_much := intake.too_much(request)) is not None:
            return _refused(path, *too_much)
        if role is None and not _is_open(path):
            return self._sign_in_first(request, path)
        if request.method not in ("GET", "HEAD") and not (request.method == "POST" and path in _FORMS):
            return _refused(path, "the dashboard only shows: use GET", 405, {"Allow": "GET, HEAD"})
        return None

    def _end(self, request: Request) -> None:
        try:
            sessions.end(request, self._place)
        except OSError as error:  # a full disk, say: the browser's own cookie goes all the same
            print(f"a session was signed out of and is not ended for who copied its cookie: {error}", file=sys.stderr)

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
        if base == "/" or not f"{path}/".startswith(base):
            return str(path)
        path = "/" + path[len(base) :]
        # Datasette would take off another one, behind the back of all that is asked of the path here
        return _NOWHERE if f"{path}/".startswith(base) else path

    def _outgoing(self, request: Request, path: str, send: Any) -> Any:
        """Only signing in and out touch the session's cookie: datasette-dashboards would repeat it, open to scripts.

        And every redirect stays under the prefix, every cookie within TLS: Datasette and its plugins know of neither.
        """
        mark, base = f"{sessions.COOKIE}=".encode(), str(self._datasette.setting("base_url")).encode()

        def kept(name: bytes, value: bytes) -> bool:
            return path in _FORMS or not (name == b"set-cookie" and value.startswith(mark))

        def mended(name: bytes, value: bytes) -> bytes:
            if name == b"location" and value.startswith(b"/") and not value.startswith(base):
                return base + value[1:]
            open_ = name == b"set-cookie" and self._datasette.setting("force_https_urls") and b"; Secure" not in value
            return value + b"; Secure" if open_ else value

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", [])]
                headers = [(name, mended(name, value)) for name, value in given if kept(name, value)]
                message = {**message, "headers": headers}
                if request.method == "POST" and path == SIGN_OUT and message["status"] == HTTPStatus.FOUND:
                    await asyncio.to_thread(self._end, request)
            await send(message)

        return sent


def _addressed(path: str) -> dict[str, Any]:
    return {"path": unquote(path), "raw_path": path.encode("ascii", "replace")}


def _is_open(path: str) -> bool:
    return path.startswith("/assets/") or path in _ANYONE


def _is_hidden(path: str, role: Role | None) -> bool:
    """Whether it is one of Datasette's own pages that this role has no use for; nobody gets here without a role."""
    return (
        role is not None and path.startswith("/-/") and not (_among(path, _INTERNALS[role]) or _BOARDS.fullmatch(path))
    )


def _among(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith((f"{each.rstrip('/')}/", f"{each}.")) for each in allowed)


def _refused(path: str, why: str, status: int, more: Mapping[str, str] | None = None) -> Response:
    headers = {"Cache-Control": "no-store", **(more or {})}
    if path.endswith(".json"):
        return Response.json({"ok": False, "error": why, "status": status}, status=status, headers=headers)
    return Response.text(f"{why}\n", status=status, headers=headers)
