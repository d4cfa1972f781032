"""Who may call what: each responder is wrapped, once, by what its row in the route table says.

What has no row is not added to the app, so an undeclared route cannot exist; nothing is decided per request
but the caller's kind.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from falcon.asgi import App, Request, Response

from qb.api.errors import request_id
from qb.api.inputs import reader
from qb.contract.routes import BY_NAME, Caller, Route
from qb.domain.errors import Forbidden, QuarterbackError, Unauthenticated
from qb.service.credentials import NOBODY, Credentials, Identity

Responder = Callable[..., Awaitable[None]]

REPLACED_KEY_MAY = frozenset({"report_status", "report_session", "report_output", "put_artifact"})
"""What a node's replaced key is still good for: the surviving container carries it."""

_KINDS = {
    Caller.ADMIN: "an admin key",
    Caller.SCOPED: "a scoped API key",
    Caller.NODE: "a node's key",
    Caller.AGENT: "a task token",
    Caller.REGISTRATION: "a registration token",
}


class UndeclaredRoute(QuarterbackError):
    """A responder is to be served under a name that the route table does not know."""


class _Guarded:
    """One path's responders, each behind its guard; falcon finds them by name."""


def add_routes(
    app: App[Request, Response],
    responders: Mapping[str, Responder],
    credentials: Credentials,
    *,
    keyless_reports: bool = False,
) -> None:
    """Serve `responders` (route name -> responder). Raises UndeclaredRoute for what the table does not know.

    With `keyless_reports`, /status and /logs also take requests without any credential.
    """
    paths: dict[str, _Guarded] = {}
    for name, responder in responders.items():
        route = BY_NAME.get(name)
        if route is None:
            raise UndeclaredRoute(f"the route {name!r} has no row in qb.contract.routes: declare its callers")
        guard = _guard(route, responder, credentials, keyless=keyless_reports)
        setattr(paths.setdefault(route.path, _Guarded()), f"on_{route.method.lower()}", guard)
    for path, guarded in paths.items():
        app.add_route(path, guarded)


def _guard(route: Route, responder: Responder, credentials: Credentials, *, keyless: bool) -> Responder:
    if Caller.ANYONE in route.callers:
        return _open(route, responder)
    if keyless and route.name in ("report_status", "report_session"):
        return _keyless(route, responder, credentials)
    return _closed(route, responder, credentials)


def _open(route: Route, responder: Responder) -> Responder:
    read = reader(route)

    async def respond(req: Request, resp: Response, **params: Any) -> None:
        req.context.identity = NOBODY
        resp.set_header("X-Request-ID", request_id(req))
        if read is not None:
            read(req)
        await responder(req, resp, **params)

    return respond


def _closed(route: Route, responder: Responder, credentials: Credentials) -> Responder:
    callers, identify, check = route.callers, credentials.identify, _check
    joining, read = Caller.REGISTRATION in callers, reader(route)

    async def respond(req: Request, resp: Response, **params: Any) -> None:
        resp.set_header("X-Request-ID", request_id(req))
        token = req.get_header("X-Registration-Token") if joining else None
        identity = identify(req.get_header("X-API-Key"), token)
        if identity.caller not in callers or not identity.current:
            check(route, identity)
        req.context.identity = identity
        if read is not None:
            read(req)
        await responder(req, resp, **params)

    return respond


def _keyless(route: Route, responder: Responder, credentials: Credentials) -> Responder:
    closed, anonymous = _closed(route, responder, credentials), _open(route, responder)

    async def respond(req: Request, resp: Response, **params: Any) -> None:
        guarded = closed if req.get_header("X-API-Key") else anonymous
        await guarded(req, resp, **params)

    return respond


def _check(route: Route, identity: Identity) -> None:
    if identity.caller not in route.callers:
        wanted = " or ".join(_KINDS[kind] for kind in sorted(route.callers))
        raise Forbidden(f"{_KINDS[identity.caller]} may not do this: it takes {wanted}")
    if not identity.current and route.name not in REPLACED_KEY_MAY:
        raise Unauthenticated("this node has registered again since: its older key may only report")
