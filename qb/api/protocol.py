"""uvicorn's HTTP/1.1, whose own refusal of what is no HTTP at all is a problem document like every other."""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from qb.api.errors import next_request_id
from qb.api.media import encode
from qb.contract.errors import PROBLEM_TYPE, ErrorCode, Problem

BUSY_SECONDS = 5
"""After so long a client may try again that met a server with as many connections as it serves."""

HEAD_LIMIT = 64 << 10
"""Bytes of a request's line and headers, but for what one reading brings: httptools would keep any number."""

_HEAD = """HTTP/1.1 400 Bad Request\r
content-type: {kind}\r
content-length: {size}\r
x-request-id: {number}\r
connection: close\r
\r
"""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; a head without end is refused."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT and not self.transport.is_closing():
            self._refuse(f"the request's line and headers are longer than {HEAD_LIMIT >> 10} KiB")

    def on_message_complete(self) -> None:
        """Expect the next head."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Serve the request, or refuse it when the server has as many connections as it can."""
        self._in_head = False
        most = self.config.limit_concurrency
        self.limit_concurrency = None  # whose refusal would be plain text
        crowded = most is not None and (len(self.connections) >= most or len(self.tasks) >= most)
        self.app = _overloaded if crowded else self.config.loaded_app
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, and hang up."""
        self._refuse("this is not HTTP/1.1: a line or a header holds what it may not")

    def _refuse(self, detail: str) -> None:
        number = next_request_id()
        problem = Problem(
            title="Malformed request",
            status=HTTPStatus.BAD_REQUEST,
            detail=detail,
            code=ErrorCode.MALFORMED,
            request_id=number,
        )
        body = encode(problem)
        head = _HEAD.format(kind=PROBLEM_TYPE, size=len(body), number=number)
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


async def _overloaded(_scope: Any, _receive: Any, send: Any) -> None:
    number = next_request_id()
    problem = Problem(
        title="Overloaded",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        detail="the server has as many connections as its open files allow: try again, or raise its LimitNOFILE",
        code=ErrorCode.OVERLOADED,
        request_id=number,
    )
    body = encode(problem)
    headers = {
        "content-type": PROBLEM_TYPE,
        "content-length": str(len(body)),
        "x-request-id": number,
        "retry-after": str(BUSY_SECONDS),
        "connection": "close",
    }
    raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
