"""What a request may bring: bounds that are looked at before anything is read, parsed or matched for it."""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from datasette.utils.asgi import Request

from qb.dashboard import sessions

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Header = tuple[bytes, bytes]

LONGEST_QUERY = 32 << 10
LONGEST_BODY = 64 << 10
"""Bytes of a form: of a name, a password and a place to go on to."""
_OURS = frozenset((sessions.COOKIE, "ds_csrftoken", "ds_messages"))
_SPRAWL = re.compile(r"\s{200}")
"""Datasette looks for SELECT with patterns whose cost grows with the square of a run of blanks, and all others wait."""


def own_cookies(headers: Iterable[Header]) -> list[Header]:
    """The headers with no cookies but ours.

    A browser sends those of everything else on the host too, and Python takes none beside one that it cannot read.
    """
    return [(name, _own(value) if name.lower() == b"cookie" else value) for name, value in headers]


def too_much(request: Request) -> tuple[str, int] | None:
    """Reason and status where the address asks for more than anybody needs; None where it does not."""
    if len(request.query_string) > LONGEST_QUERY:
        return f"the address is too long: {LONGEST_QUERY >> 10} KiB at most", 414
    if any(_SPRAWL.search(sql) for sql in request.args.getlist("sql")):
        return "the statement has a run of 200 blanks or more: leave them out", 400
    return None


async def form(request: Request, receive: Receive) -> Receive | tuple[str, int]:
    """Read a form whole; returns what gives it out again, or reason and status where it is none of ours."""
    read, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return "the form broke off", 400
        read += message.get("body", b"")
        more = message.get("more_body", False)
        if len(read) > LONGEST_BODY:
            return f"the form is too long: {LONGEST_BODY >> 10} KiB at most", 413
    kept = [{"type": "http.request", "body": read, "more_body": False}]

    async def again() -> Message:
        return kept.pop() if kept else await receive()

    return again if _is_ours(request, read) else ("this is no form of the dashboard's", 400)


def _is_ours(request: Request, read: bytes) -> bool:
    """Whether Datasette's check of tokens can read it: it takes for granted that they are ASCII, and more."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    tokens = [request.headers.get("x-csrftoken", "")]
    tokens += parse_qs(read.decode("latin-1")).get("csrftoken", [])
    return kind == "application/x-www-form-urlencoded" and read.isascii() and all(map(str.isascii, tokens))


def _own(value: bytes) -> bytes:
    pairs = [each.strip() for each in value.decode("latin-1").split(";")]
    return "; ".join(each for each in pairs if each.partition("=")[0].strip() in _OURS).encode("latin-1")
