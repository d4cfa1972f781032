"""What an error becomes on the wire: one table from the domain's codes to HTTP, and RFC 9457 documents."""

import http
import re
from itertools import count
from secrets import token_hex
from typing import Any, NamedTuple

import structlog
from falcon import HTTPError
from falcon.asgi import App, Request, Response, WebSocket

from qb.api.media import encode
from qb.contract.errors import PROBLEM_TYPE, ErrorCode, Problem
from qb.domain.errors import Invalid, QuarterbackError

log = structlog.get_logger("qb.api")

_C = ErrorCode
HTTP: dict[ErrorCode, tuple[int, str]] = {
    _C.MALFORMED: (400, "Malformed request"),
    _C.INVALID: (422, "Invalid request"),
    _C.TOO_LARGE: (413, "Body too large"),
    _C.UNSUPPORTED_MEDIA_TYPE: (415, "Unsupported media type"),
    _C.UNAUTHENTICATED: (401, "Not authenticated"),
    _C.FORBIDDEN: (403, "Not allowed"),
    _C.NOT_FOUND: (404, "Not found"),
    _C.RANGE_NOT_SATISFIABLE: (416, "Range not satisfiable"),
    _C.METHOD_NOT_ALLOWED: (405, "Method not allowed"),
    _C.CONFLICT: (409, "Conflict"),
    _C.STALE_ATTEMPT: (409, "Attempt replaced"),
    _C.ALREADY_ENDED: (409, "Task ended"),
    _C.CHECKSUM_MISMATCH: (422, "Checksum mismatch"),
    _C.REGISTRATION_OFF: (503, "Registration off"),
    _C.PRECONDITION_FAILED: (412, "Changed meanwhile"),
    _C.RATE_LIMITED: (429, "Too many requests"),
    _C.OVERLOADED: (503, "Overloaded"),
    _C.STORAGE_FULL: (507, "Storage full"),
    _C.INTERNAL: (500, "Internal error"),
}

# falcon's own refusals: what the router, the query parser or a header made of the request
_FALCON: dict[int, ErrorCode] = {
    401: _C.UNAUTHENTICATED,
    403: _C.FORBIDDEN,
    404: _C.NOT_FOUND,
    405: _C.METHOD_NOT_ALLOWED,
    409: _C.CONFLICT,
    413: _C.TOO_LARGE,
    415: _C.UNSUPPORTED_MEDIA_TYPE,
    422: _C.INVALID,
    503: _C.OVERLOADED,
}


class Answer(NamedTuple):
    """An error as it will be answered."""

    code: ErrorCode
    detail: str
    headers: dict[str, str]


# request ids: a client's own is kept when it is short and plain, else one is counted up

_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_START = token_hex(6)
_numbers = count(1)


def next_request_id() -> str:
    """An id that no other request has."""
    return f"{_START}-{next(_numbers):x}"


def request_id(req: Request) -> str:
    """The id of this request, the client's own or a new one; the same for every call with `req`."""
    known: str | None = getattr(req.context, "request_id", None)
    if known is None:
        sent = req.get_header("X-Request-ID")
        known = sent if sent and _PLAIN_ID(sent) else next_request_id()
        req.context.request_id = known
    return known


def handle_errors(app: App[Request, Response]) -> None:
    """Make every error of `app` a problem document."""
    app.add_error_handler(Exception, _handle)
    app.add_error_handler(HTTPError, _handle)


async def _handle(
    req: Request, resp: Response | None, error: Exception, params: dict[str, Any], ws: WebSocket | None = None
) -> None:
    answer = _answer(error)
    status, title = HTTP[answer.code]
    number = request_id(req)
    if answer.code is _C.INTERNAL:
        log.error("request failed", request_id=number, method=req.method, path=req.path, exc_info=error)
    if resp is None:
        if ws is not None:
            await ws.close(3000 + status)
        return
    problem = Problem(title=title, status=status, detail=answer.detail, code=answer.code, request_id=number)
    for name, value in answer.headers.items():
        resp.set_header(name, value)
    resp.set_header("X-Request-ID", number)
    resp.status = status
    resp.content_type = PROBLEM_TYPE
    resp.text = None
    resp.stream = None
    resp.data = encode(problem)


def _answer(error: Exception) -> Answer:
    if isinstance(error, QuarterbackError):
        detail = str(error).encode(errors="replace").decode()
        return Answer(error.code, detail, _retry_after(error))
    if isinstance(error, OverflowError):
        # SQLite's integers have 64 bits: a longer one came in as text where a number stands
        return Answer(Invalid.code, "a number is out of range: 64 bits fit", {})
    if isinstance(error, HTTPError) and error.status_code < 500:
        return _falcon(error)
    return Answer(_C.INTERNAL, "something went wrong in the orchestrator; its log has the request id", {})


def _retry_after(error: QuarterbackError) -> dict[str, str]:
    return {"Retry-After": str(error.retry_after)} if HTTP[error.code][0] in (429, 503) else {}


def _falcon(error: HTTPError) -> Answer:
    code = _FALCON.get(error.status_code, _C.MALFORMED)
    headers = dict(error.headers or {})
    if code is _C.NOT_FOUND:
        return Answer(code, "no such path: see the list of routes in the documentation", headers)
    if code is _C.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow", "")
        return Answer(code, f"this path does not take that method; it takes {allowed or 'none'}", headers)
    phrase = http.HTTPStatus(error.status_code).phrase
    return Answer(code, error.description or error.title or phrase, headers)
