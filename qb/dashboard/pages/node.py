"""One node: what it is, what ran on it when, and when it was silent."""

from datetime import datetime, timedelta
from typing import Any

from qb.dashboard.pages.fleet import stale, success_rates
from qb.dashboard.pages.lines import TASK_LINE
from qb.dashboard.pages.picture import Scale, lanes, ticks
from qb.dashboard.pages.reading import Arguments, Read, before, number

SHOWN = 50
DRAWN = 400
"""Attempts in the picture at most."""
SPANS = (6, 24, 168)
"""Hours that the picture can show."""
LANES = 16
SILENCES_SHOWN = 20

_NODE = """
SELECT id, name, hostname, os_type, arch, mode, dispatch, state, status, capabilities, tags, wire, generation,
    runner_version, slots, limits, load, disk_free, created_at, registered_at, last_seen_at, poll_interval, api_endpoint
FROM nodes WHERE id = :node OR name = :node
"""
# By the index of a node's tasks: attempts that went on elsewhere are found with the task.
_ATTEMPTS = """
SELECT a.task_id, a.attempt, a.claimed_at, a.started_at, a.ended_at, a.outcome, a.reason,
    coalesce(t.title, substr(s.prompt, 1, 120)) AS what, t.status
FROM (SELECT id, title, status FROM tasks WHERE assigned_node_id = :node ORDER BY seq DESC LIMIT :limit) t
JOIN attempts a ON a.task_id = t.id AND a.node_id = :node JOIN task_specs s ON s.task_id = t.id
WHERE a.ended_at IS NULL OR a.ended_at >= :since
"""
_TASKS = TASK_LINE + "WHERE t.assigned_node_id = :node ORDER BY t.seq DESC LIMIT :limit"
_SILENCES = """
SELECT silent_from, heard_at FROM node_silences WHERE node_id = :node AND heard_at >= :since
ORDER BY heard_at DESC LIMIT :limit
"""


async def node(read: Read, name: str, arguments: Arguments, now: datetime) -> dict[str, Any] | None:
    """Values of the page of the node with that id or name, or None where there is none."""
    found = await read(_NODE, node=name)
    if not found:
        return None
    row = found[0]
    hours = number(arguments, "hours", SPANS[1])
    hours = hours if hours in SPANS else SPANS[1]
    since = before(now, hours * 3600)
    scale = Scale(now - timedelta(hours=hours), now)
    attempts = await read(_ATTEMPTS, node=row["id"], since=since, limit=DRAWN)
    silences = await read(_SILENCES, node=row["id"], since=since, limit=DRAWN)
    silent = stale(row, now)
    if silent and row["last_seen_at"]:
        silences = [{"silent_from": row["last_seen_at"], "heard_at": None}, *silences]
    rate = await success_rates(read, [row["id"]])
    return {
        "node": {**row, "stale": silent, "rate": rate.get(row["id"], (0, 0))},
        "hours": hours,
        "spans": SPANS,
        "lanes": lanes(attempts, scale)[:LANES],
        "drawn": len(attempts),
        "gaps": [{**gap, **scale.bar(gap["silent_from"], gap["heard_at"] or now)} for gap in silences],
        "silences": silences[:SILENCES_SHOWN],
        "ticks": ticks(scale, 6),
        "tasks": await read(_TASKS, node=row["id"], limit=SHOWN),
        "shown": SHOWN,
    }
