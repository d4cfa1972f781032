"""Parts of a file on request: RFC 9110 ranges of bytes, one at a time."""

import re
from typing import NamedTuple

from qb.domain.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"bytes=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII | re.IGNORECASE)


class Span(NamedTuple):
    """`length` bytes from the one numbered `first` on."""

    first: int
    length: int

    def content_range(self, size: int) -> str:
        """The Content-Range header for a file of `size` bytes."""
        return f"bytes {self.first}-{self.first + self.length - 1}/{size}"


def asked(value: str | None, condition: str | None, etag: str, size: int) -> Span | None:
    """The part that a Range header asks for; None for the whole file.

    That is also the answer to several ranges at once, to what is no range of bytes, and where the If-Range
    `condition` names another file than `etag`. Raises RangeNotSatisfiable for a range that begins after the end.
    """
    found = _ONE_RANGE.fullmatch(value.strip()) if value else None
    if found is None or (condition is not None and condition.strip() != etag):
        return None
    first, last = found.groups()
    if not first:
        return _last_bytes(last, size)
    begin, end = int(first), int(last) if last else size - 1
    if last and end < begin:
        return None
    if begin >= size:
        raise RangeNotSatisfiable(f"the file has {size} bytes, so there are none from {begin} on")
    return Span(begin, min(end, size - 1) - begin + 1)


def _last_bytes(count: str, size: int) -> Span | None:
    if not count:
        return None
    length = min(int(count), size)
    if not length:
        raise RangeNotSatisfiable(f"the last {int(count)} bytes of a file of {size} bytes are none")
    return Span(size - length, length)
