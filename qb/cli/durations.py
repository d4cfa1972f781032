"""Spans of time as people type and read them."""

import re
from datetime import datetime, timedelta

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SHAPE = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", re.ASCII)


def seconds_of(text: str) -> int:
    """Seconds of ``30m``, ``2h``, ``1h30m``, ``90s`` or plain ``90``. Raises ValueError for anything else."""
    found = _SHAPE.fullmatch(text.strip().lower())
    total = 0
    if found:
        total = sum(int(count) * size for count, size in zip(found.groups(), _UNITS.values(), strict=True) if count)
    if not total:
        raise ValueError(f"{text!r} is no duration: write for example 30m, 2h, 90s or 1h30m")
    return total


def written(seconds: float) -> str:
    """``30d``, ``90s``: as `seconds_of` reads it, in the largest unit that leaves no rest."""
    for unit, size in _UNITS.items():
        if seconds and seconds % size == 0:
            return f"{seconds // size:g}{unit}"
    return f"{seconds:g}s"


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that ``2h`` (so long before `now`) or an ISO 8601 time (local, where it has no zone) names.

    Raises ValueError for anything else.
    """
    try:
        return now - timedelta(seconds=seconds_of(text))
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: write for example 2h, 2026-01-31 or 2026-01-31T08:00Z") from error


def span(seconds: float, *, nearest: bool = False) -> str:
    """``45 s``, ``12 min``, ``3 h``, ``5 d``: one unit, for reading at a glance; a rest is left out, or rounded."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{(whole + (size // 2 if nearest else 0)) // size} {unit}"
    return f"{whole} s"


def ago(moment: str | None, now: datetime) -> str:
    """``12 s ago`` for an ISO 8601 `moment`, ``in 5 min`` for one to come, empty for none."""
    if not moment:
        return ""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    seconds = (now - then).total_seconds() if then.tzinfo else 0.0
    # 90 days that have just begun are not 89; a second of difference between two clocks is not the future
    return f"in {span(-seconds, nearest=True)}" if seconds < -1 else f"{span(seconds)} ago"
