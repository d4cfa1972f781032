"""uvicorn's HTTP/1.1, whose own refusal of what is no HTTP at all is a problem document like every other."""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from qb.api.errors import next_request_id
from qb.api.media import encode
from qb.contract.errors import PROBLEM_TYPE, ErrorCode, Problem

_HEAD = """HTTP/1.1 400 Bad Request\r
content-type: {kind}\r
content-length: {size}\r
x-request-id: {number}\r
connection: close\r
\r
"""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, and hang up."""
        number = next_request_id()
        problem = Problem(
            title="Malformed request",
            status=HTTPStatus.BAD_REQUEST,
            detail="this is not HTTP/1.1: a line or a header holds what it may not",
            code=ErrorCode.MALFORMED,
            request_id=number,
        )
        body = encode(problem)
        head = _HEAD.format(kind=PROBLEM_TYPE, size=len(body), number=number)
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
