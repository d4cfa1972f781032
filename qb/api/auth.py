"""Who may call what: each responder is wrapped, once, by what its row in the route table says.

What has no row is not added to the app, so an undeclared route cannot exist; nothing is decided per request
but the caller's kind.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from falcon.asgi import App, Request, Response

from qb.api.addresses import Network, client_address
from qb.api.errors import request_id
from qb.api.inputs import reader
from qb.contract.routes import BY_NAME, Caller, Route
from qb.domain.errors import Forbidden, QuarterbackError, RegistrationOff, Unauthenticated
from qb.service.audit import Actor, Audit
from qb.service.credentials import NOBODY, Credentials, Identity
from qb.service.gate import Gate, check_caller

Responder = Callable[..., Awaitable[None]]
_REFUSALS = (Unauthenticated, Forbidden, RegistrationOff)


class UndeclaredRoute(QuarterbackError):
    """A responder is to be served under a name that the route table does not know."""


@dataclass(frozen=True, slots=True)
class Door:
    """What every guard works with. X-Forwarded-For is believed from `proxies` only.

    With `keyless_reports`, /status and /logs also take requests without any credential.
    """

    credentials: Credentials
    gate: Gate
    audit: Audit
    proxies: tuple[Network, ...] = ()
    keyless_reports: bool = False

    def refused(self, route: Route, req: Request, error: QuarterbackError, identity: Identity | None) -> None:
        """Tell the audit log of a credential that was refused; none at all is nothing to tell."""
        sent = req.get_header("X-Registration-Token") if Caller.REGISTRATION in route.callers else None
        sent = sent or req.get_header("X-API-Key")
        if sent:
            self.audit.refused(route, sent, client_address(req, self.proxies), error, identity)


class _Guarded:
    """One path's responders, each behind its guard; falcon finds them by name."""

    on_head: Responder


def add_routes(app: App[Request, Response], responders: Mapping[str, Responder], door: Door) -> None:
    """Serve `responders` (route name -> responder). Raises UndeclaredRoute for what the table does not know."""
    paths: dict[str, _Guarded] = {}
    for name, responder in responders.items():
        route = BY_NAME.get(name)
        if route is None:
            raise UndeclaredRoute(f"the route {name!r} has no row in qb.contract.routes: declare its callers")
        guard = _guard(route, responder, door)
        guarded = paths.setdefault(route.path, _Guarded())
        setattr(guarded, f"on_{route.method.lower()}", guard)
        if route.method == "GET" and Caller.ANYONE in route.callers:
            # monitors ask so; elsewhere a GET may do something, such as taking a task
            guarded.on_head = guard
    for path, guarded in paths.items():
        app.add_route(path, guarded)


def _guard(route: Route, responder: Responder, door: Door) -> Responder:
    if Caller.ANYONE in route.callers:
        return _open(route, responder)
    if Caller.SCOPED in route.callers and route.scope is None:
        raise UndeclaredRoute(f"the route {route.name!r} takes scoped keys: declare the scope that they need")
    if door.keyless_reports and route.name in ("report_status", "report_session"):
        return _keyless(route, responder, door)
    return _closed(route, responder, door)


def _open(route: Route, responder: Responder) -> Responder:
    read = reader(route)

    async def respond(req: Request, resp: Response, **params: Any) -> None:
        req.context.identity = NOBODY
        resp.set_header("X-Request-ID", request_id(req))
        if read is not None:
            read(req)
        await responder(req, resp, **params)

    return respond


def _closed(route: Route, responder: Responder, door: Door) -> Responder:
    callers, identify, gate, proxies = route.callers, door.credentials.identify, door.gate, door.proxies
    joining, read = Caller.REGISTRATION in callers, reader(route)

    async def respond(req: Request, resp: Response, **params: Any) -> None:
        resp.set_header("X-Request-ID", request_id(req))
        identity = None
        try:
            token = req.get_header("X-Registration-Token") if joining else None
            identity = identify(req.get_header("X-API-Key"), token)
            if identity.caller not in callers or not identity.current or identity.caller is Caller.SCOPED:
                check_caller(route, identity)
        except _REFUSALS as error:
            door.refused(route, req, error, identity)
            raise
        req.context.identity = identity
        if identity.key_id is not None:
            # An operator or an external system; nodes and agents, who call most, need none of this.
            gate.count(identity)
            req.context.actor = Actor(identity, client_address(req, proxies))
            if identity.caller is Caller.SCOPED and "task_id" in params:
                await gate.check_own(identity, params["task_id"])
        if read is not None:
            read(req)
        await responder(req, resp, **params)

    return respond


def _keyless(route: Route, responder: Responder, door: Door) -> Responder:
    closed, anonymous = _closed(route, responder, door), _open(route, responder)

    async def respond(req: Request, resp: Response, **params: Any) -> None:
        guarded = closed if req.get_header("X-API-Key") else anonymous
        await guarded(req, resp, **params)

    return respond
