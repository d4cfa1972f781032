"""What every page says first: how the fleet is doing, and whether anyone still writes to the database."""

from datetime import datetime
from typing import Any

from qb.dashboard.pages.reading import Read, before
from qb.domain.times import parse

QUIET_SECONDS = 60
"""When nothing has happened for so long though there are nodes, the control plane itself may be down."""
HOUR = 3_600
DAY = 24 * HOUR
COUNTED = 100_000
"""Counts of what waits end here: beyond it the page says so many and more."""

_PULSE = """
SELECT (SELECT count(*) FROM nodes) AS nodes,
    (SELECT count(*) FROM nodes WHERE status <> 'offline') AS online,
    (SELECT max(last_seen_at) FROM nodes) AS heard_at,
    (SELECT at FROM task_events ORDER BY id DESC LIMIT 1) AS event_at,
    (SELECT count(*) FROM tasks WHERE lease_expires_at IS NOT NULL) AS running,
    (SELECT count(*) FROM (
        SELECT 1 FROM tasks WHERE status = 'pending' AND schedule_id IS NOT id LIMIT :most)) AS waiting
"""
# Whole hours by their sums, and what came before the first of them.
_ENDED = """
SELECT status, sum(tasks) AS tasks FROM (
    SELECT status, tasks FROM hourly_endings WHERE hour >= :first
    UNION ALL
    SELECT status, count(*) FROM (
        SELECT status FROM tasks WHERE completed_at >= :since AND completed_at < :first LIMIT :most) GROUP BY status
) GROUP BY status
"""


async def pulse(read: Read, now: datetime) -> dict[str, Any]:
    """Counts of nodes and tasks, and `quiet_since`: the last sign of life when that is too long ago, else None."""
    counts = (await read(_PULSE, most=COUNTED))[0]
    ended = await read(_ENDED, since=before(now, DAY), first=before(now, DAY - HOUR)[:13], most=COUNTED)
    lately = {row["status"]: row["tasks"] for row in ended}
    signs = [moment for moment in (counts["heard_at"], counts["event_at"]) if moment]
    last = max(signs, default=None)
    quiet = counts["nodes"] and last is not None and (now - parse(last)).total_seconds() > QUIET_SECONDS
    return {
        **counts,
        "done": lately.get("success", 0),
        "failed": lately.get("error", 0),
        "cancelled": lately.get("cancelled", 0),
        "most": COUNTED,
        "quiet_since": last if quiet else None,
    }
