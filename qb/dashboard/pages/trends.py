"""The trends: which span is drawn, and what waits by now, which no chart of what has been can say."""

from datetime import datetime, timedelta
from typing import Any

from qb.dashboard.pages.pulse import pulse
from qb.dashboard.pages.reading import Read

SPAN = 24
LONGEST = 24 * 90
"""Hours."""

# The oldest has the least seq: only a schedule's pattern is stepped over.
OLDEST = """
SELECT created_at FROM tasks WHERE status = 'pending' AND schedule_id IS NOT id ORDER BY seq LIMIT 1
"""


def span(hours: str | None) -> int:
    """The hours that are drawn for what an address asks; a day for what is no number of them, or too many."""
    asked = hours or ""
    known = asked.isascii() and asked.isdigit() and len(asked) <= len(str(LONGEST))
    return int(asked) if known and 0 < int(asked) <= LONGEST else SPAN


def stretch(hours: int, now: datetime) -> tuple[int, int]:
    """Begin and end of what the charts over time show, in milliseconds: whole hours, as their queries count them."""
    this = now.replace(minute=0, second=0, microsecond=0)
    begin, end = this - timedelta(hours=hours), this + timedelta(hours=1)
    return int(begin.timestamp()) * 1000, int(end.timestamp()) * 1000


async def trends(read: Read, hours: str | None, now: datetime) -> dict[str, Any]:
    """Values of the page beside its charts."""
    oldest = await read(OLDEST)
    return {
        "pulse": await pulse(read, now),
        "now": now,
        "drawn_hours": span(hours),
        "drawn": stretch(span(hours), now),
        "waiting_since": oldest[0]["created_at"] if oldest else None,
    }
