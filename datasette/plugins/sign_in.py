"""Signing in: by a link that is good once, or with a name and a password; and what each role may do then."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from datasette import Response, handle_exception, hookimpl

from qb.dashboard import gate, permissions, sessions, yielding
from qb.dashboard.accounts import Accounts
from qb.dashboard.links import Links
from qb.dashboard.place import Place, Unreadable
from qb.dashboard.roles import Role

_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
TRIES = 10
"""Wrong passwords in a minute, of all who try; after that nobody may for a while. Links still work."""


class SignIn:
    """The page, and how often a password was wrong lately."""

    def __init__(self, datasette: Any) -> None:
        self._datasette = datasette
        place = Place(yielding.data_dir(datasette))
        self._accounts = Accounts(place)
        self._links = Links(place, datasette._secret)
        self._wrong: deque[float] = deque(maxlen=TRIES)
        self._one_at_a_time = asyncio.Semaphore(1)

    async def page(self, request: Any) -> Response:
        """Show the form, or sign in."""
        if request.method == "POST":
            return await self._with_password(request)
        if request.method == "GET" and (token := request.args.get("link")):
            return await self._with_link(request, token)
        return await self._form(request, None, 200)

    async def _with_link(self, request: Any, token: str) -> Response:
        invitation = self._links.redeem(token, now=datetime.now(UTC))
        if invitation is None:
            return await self._form(request, "This link was used before, or is too old: make another.", 403)
        return self._begun(sessions.of_invitation(invitation), request.args.get("next"))

    async def _with_password(self, request: Any) -> Response:
        if "ds_csrftoken" not in request.cookies:
            # Datasette checks the form's token only for who sends a cookie: another site's form brings none
            return await self._form(request, "Send the form from this page, with cookies allowed.", 403)
        posted = await request.post_vars()
        name, password, target = (str(posted.get(field, "")) for field in ("name", "password", "next"))
        async with self._one_at_a_time:
            if len(self._wrong) == TRIES and time.monotonic() - self._wrong[0] < 60:
                return await self._form(request, "Too many wrong passwords: wait a minute.", 429, target)
            try:
                account = await asyncio.to_thread(self._accounts.signed_in, name, password[:1024])
            except Unreadable:
                return await self._form(request, None, 503, target)
            if account is None:
                self._wrong.append(time.monotonic())
        if account is None:
            return await self._form(request, "Name and password do not fit.", 403, target)
        return self._begun(sessions.of_account(account), target)

    def _begun(self, actor: sessions.Actor, target: str | None) -> Response:
        response = Response.redirect(str(self._datasette.urls.path(_local(target) or "/")))
        response.headers["Cache-Control"] = "no-store"
        sessions.begin(self._datasette, response, actor)
        return response

    async def _form(self, request: Any, problem: str | None, status: int, target: str | None = None) -> Response:
        try:
            passwords = bool(self._accounts.all())
        except Unreadable as error:
            print(error, file=sys.stderr)
            problem, passwords = problem or "Passwords cannot be looked at now; the dashboard's log says why.", False
        context = {"problem": problem, "next": _local(target or request.args.get("next")), "passwords": passwords}
        html = await self._datasette.render_template("sign_in.html", context, request=request)
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return Response.html(html, status=status, headers=headers)


def _local(target: str | None) -> str | None:
    """A path on this dashboard; None for anything that could lead elsewhere."""
    plain = target is not None and target.isprintable() and target.isascii() and "\\" not in target
    return target if plain and target and target.startswith("/") and not target.startswith("//") else None


@hookimpl
def register_routes(datasette: Any) -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Put the page where the gate lets everybody by."""
    return [(r"^/-/sign-in$", SignIn(datasette).page)]


@hookimpl
def startup() -> None:
    """Keep cookies out of the log: an unexpected error would be printed with all its local variables."""
    handle_exception.rich = None


@hookimpl
def asgi_wrapper(datasette: Any) -> Callable[[Any], Any]:
    """Have the gate in front of everything."""
    return lambda app: gate.Gate(datasette, app)


@hookimpl(tryfirst=True)
def actor_from_request(datasette: Any, request: Any) -> sessions.Actor | None:
    """Who asks, with the role that the account has now."""
    return sessions.actor(datasette, request, Place(yielding.data_dir(datasette)))


@hookimpl
def permission_allowed(datasette: Any, actor: Any, action: str) -> bool | None:
    """Let viewers see charts; the rest is in metadata.yml."""
    request = gate.current.get()
    if action != "execute-sql" or request is None or sessions.role(actor) is not Role.VIEWER:
        return None
    return True if permissions.is_of_a_chart(datasette, request) else None
