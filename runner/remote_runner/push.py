"""The push transport: a small HTTP server to which the control plane brings assignments."""

import hmac
import json
import os
import platform
import ssl
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import falcon
import structlog
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from pydantic import BaseModel, ValidationError

from qb.contract.nodes import Held
from qb.contract.push import RUN_LIMIT, SIGNATURE, Activity, PushHealth, PushStatus, Started, signature
from qb.contract.tasks import Assignment
from remote_runner.errors import CannotStart
from remote_runner.intake import Intake, Offer
from remote_runner.records import Key
from remote_runner.tools import Tools

THREADS = 4
CONNECTION_SECONDS = 10
"""How long a connection may keep a thread waiting."""

_ANSWERS = {
    Offer.BUSY: (falcon.HTTP_409, "every slot of this node is taken: send it again later, or to another node"),
    Offer.CLOSED: (falcon.HTTP_503, "this node is about to end: send it to another one"),
    Offer.REFUSED: (falcon.HTTP_400, "this node does not run it"),
}

log = structlog.get_logger()


class PushServer:
    """Serves /health, /run, /status and /cancel. `listen` comes first, so that a port in use is told at once."""

    def __init__(self, tools: Tools, intake: Intake) -> None:
        self._config = tools.config
        app = falcon.App(middleware=[_Gate(tools)])
        app.req_options.auto_parse_form_urlencoded = False
        app.set_error_serializer(_problem)
        app.add_route("/health", _Health(tools))
        app.add_route("/run", _Run(tools, intake))
        app.add_route("/status", _Status(tools))
        app.add_route("/cancel", _Cancel(intake))
        self._server = Server(
            (self._config.host, self._config.port),
            app,
            numthreads=THREADS,
            max=THREADS,
            server_name="remote_runner",
            request_queue_size=64,
            timeout=CONNECTION_SECONDS,
            shutdown_timeout=1,
        )
        self._server.max_request_body_size = RUN_LIMIT
        self._server.max_request_header_size = 64 << 10
        self._server.error_log = _cheroot_says  # type: ignore[method-assign]  # cheroot documents it so

    def listen(self) -> None:
        """Open the port. Raises CannotStart."""
        config = self._config
        try:
            if config.tls_cert and config.tls_key:
                self._server.ssl_adapter = BuiltinSSLAdapter(str(config.tls_cert), str(config.tls_key))
                self._server.ssl_adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._server.prepare()
        except (OSError, ssl.SSLError) as error:
            raise CannotStart(
                f"cannot listen on {config.host}:{config.port}: {error}; choose another --port"
            ) from error
        log.info("listening", host=config.host, port=self._server.bind_addr[1], tls=bool(config.tls_cert))

    def serve(self) -> None:
        """Answer until closed."""
        self._server.serve()

    def close(self) -> None:
        """Stop answering."""
        self._server.stop()


class _Gate:
    """Lets in who may come: by address everyone from --allow-from, by key the control plane."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        allowed = self._tools.config.allow_from
        caller = ip_address(req.remote_addr.partition("%")[0])
        # a socket for both kinds of addresses sees IPv4 callers as ::ffff:a.b.c.d
        names = {caller, getattr(caller, "ipv4_mapped", None) or caller}
        if allowed and not any(name in network for name in names for network in allowed):
            raise falcon.HTTPForbidden(description=f"{caller} is not in this node's --allow-from")
        if req.path != "/health":
            self._authenticate(req)

    def _authenticate(self, req: falcon.Request) -> None:
        key, given = self._tools.membership.key, req.get_header("X-API-Key")
        if not key or not given or not hmac.compare_digest(given.encode(), key.encode()):
            raise falcon.HTTPUnauthorized(description="the X-API-Key is not this node's key")


class _Health:
    def __init__(self, tools: Tools) -> None:
        self._said = PushHealth(
            status="ok",
            os_type=platform.system().lower(),
            container_runtime=tools.config.container_runtime,
            name=tools.config.name,
        )

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        _say(resp, self._said)


class _Run:
    """POST /run. A repeated one starts nothing: the journal knows the attempt, whoever sends it."""

    def __init__(self, tools: Tools, intake: Intake) -> None:
        self._tools = tools
        self._intake = intake

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = _body(req)
        key, given = self._tools.membership.key or "", req.get_header(SIGNATURE) or ""
        if not hmac.compare_digest(given.lower().encode(), signature(key, body).encode()):
            raise falcon.HTTPUnauthorized(description=f"{SIGNATURE} does not match the body and this node's key")
        try:
            assignment = Assignment.model_validate_json(body)
        except ValidationError as error:
            raise falcon.HTTPBadRequest(description=f"this is no assignment: {_first(error)}") from error
        offer, why = self._intake.offer(assignment)
        if offer in (Offer.ACCEPTED, Offer.DUPLICATE):
            _say(resp, Started(task_id=assignment.task_id, pid=os.getpid()))
        else:
            status, text = _ANSWERS[offer]
            raise falcon.HTTPError(status, description=why or text)
        self._tools.outbox_filled()


class _Status:
    """GET /status: what this node holds, which is what it answers for to the control plane."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        held = [Held(task_id=key.task_id, attempt=key.attempt) for key in self._tools.journal.held()]
        busy = Activity.RUNNING if held else Activity.IDLE
        _say(resp, PushStatus(status=busy, pid=os.getpid() if held else None, running=held))


class _Cancel:
    """POST /cancel: the end of the container is reported like any other."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        try:
            held = Held.model_validate_json(_body(req))
        except ValidationError as error:
            raise falcon.HTTPBadRequest(description=f"this names no attempt: {_first(error)}") from error
        self._intake.cancel(Key(held.task_id, held.attempt))
        resp.status = falcon.HTTP_202
        resp.media = {"status": "cancelling"}


def _body(req: falcon.Request) -> bytes:
    if (req.content_length or 0) > RUN_LIMIT:
        raise falcon.HTTPContentTooLarge(description=f"the body is over {RUN_LIMIT} bytes")
    body: bytes = req.bounded_stream.read(RUN_LIMIT + 1)
    return body


def _say(resp: falcon.Response, answer: BaseModel) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.text = answer.model_dump_json(exclude_none=True)


def _problem(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    status = falcon.http_status_to_code(error.status)
    resp.content_type = "application/problem+json"
    title = HTTPStatus(status).phrase
    resp.text = json.dumps({"title": title, "status": status, "detail": error.description or title})


def _first(error: ValidationError) -> str:
    first: Any = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"


def _cheroot_says(msg: str = "", level: int = 20, traceback: bool = False) -> None:
    log.debug("http", message=msg)
