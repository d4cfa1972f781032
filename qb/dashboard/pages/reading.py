"""How pages read: a callable that runs one statement, and the parts of an address that narrow what is shown."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from qb.domain.times import iso

PATTERN_BYTES = 200
"""Of a pattern of LIKE or GLOB, whose cost grows with each wildcard: connections take none that is longer."""

Row = dict[str, Any]
Rows = list[Row]


class Read(Protocol):
    """Runs a SELECT; returns its rows as dictionaries."""

    async def __call__(self, sql: str, **parameters: Any) -> Rows:
        """The rows of `sql`."""
        ...


Arguments = Mapping[str, str]
"""The query of an address, each name once."""


def asked(arguments: Arguments, *names: str) -> dict[str, str]:
    """What the reader filters by: each of `names`, empty when it was not given; longer than 200 characters is cut."""
    return {name: arguments.get(name, "").strip()[:200] for name in names}


def number(arguments: Arguments, name: str, otherwise: int) -> int:
    """A whole number of the address, or `otherwise` where there is none or it is no number."""
    text = arguments.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else otherwise


def glob(text: str) -> str:
    """`text` as a pattern of GLOB, cut to PATTERN_BYTES."""
    return text.encode()[:PATTERN_BYTES].decode(errors="ignore")


def before(now: datetime, seconds: float) -> str:
    """The moment that many seconds before `now`, as qb.db writes moments."""
    return iso(now - timedelta(seconds=seconds))
