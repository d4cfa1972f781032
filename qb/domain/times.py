"""Time as the database and the wire hold it: ISO 8601 UTC text that sorts as it reads."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Answers the present moment, aware and in UTC."""


def utc_now() -> datetime:
    """The system's clock; everything else gets a Clock handed in."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """``2026-01-31T12:00:00.000Z``: milliseconds, always 24 characters, sorts by time."""
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def parse(text: str) -> datetime:
    """The moment that `iso` wrote down."""
    return datetime.fromisoformat(text)


def after(moment: datetime, seconds: float) -> str:
    """`iso` of `seconds` after `moment`."""
    return iso(moment + timedelta(seconds=seconds))
