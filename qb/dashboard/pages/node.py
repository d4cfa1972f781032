"""One node: what it is, what ran on it when, and when it was silent."""

from datetime import datetime, timedelta
from typing import Any

from qb.contract.states import TaskStatus
from qb.dashboard.pages.fleet import FAILED, stale, success_rates
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
# By the index of a node's attempts, which lie in the order of their claims; and what it holds, however old it is.
_ATTEMPTS = """
SELECT a.task_id, a.attempt, a.claimed_at, a.started_at, a.ended_at, a.outcome, a.reason,
    coalesce(t.title, substr(s.prompt, 1, 120)) AS what, t.status
FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN task_specs s ON s.task_id = t.id
WHERE a.rowid IN (
    SELECT * FROM (SELECT rowid FROM attempts WHERE node_id = :node ORDER BY rowid DESC LIMIT :limit)
    UNION
    SELECT h.rowid FROM tasks l JOIN attempts h ON h.task_id = l.id AND h.attempt = l.attempt
    WHERE l.assigned_node_id = :node AND l.lease_expires_at IS NOT NULL)
AND (a.ended_at IS NULL OR a.ended_at >= :since) ORDER BY a.rowid DESC
"""
_NEWEST = "SELECT task_id FROM attempts WHERE node_id = :node ORDER BY rowid DESC LIMIT :limit"
_ATTEMPT_COUNT = "SELECT count(*) AS attempts FROM (SELECT 1 FROM attempts WHERE node_id = :node LIMIT :limit)"
_TASKS = f"{TASK_LINE} WHERE t.id IN ({_NEWEST}) ORDER BY t.seq DESC"
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
    drawn = lanes([{**each, "kind": kind(each["outcome"])} for each in attempts], scale)
    silences = await read(_SILENCES, node=row["id"], since=since, limit=DRAWN)
    silent = stale(row, now)
    if silent and row["last_seen_at"]:
        silences = [{"silent_from": row["last_seen_at"], "heard_at": None}, *silences]
    rate = await success_rates(read, [row["id"]])
    return {
        "node": {**row, "stale": silent, "rate": rate.get(row["id"], (0, 0))},
        "hours": hours,
        "spans": SPANS,
        "lanes": drawn[:LANES],
        "returned": any(kind(each["outcome"]) == "returned" for each in attempts),
        "lanes_cut": max(0, len(drawn) - LANES),
        "drawn": len(attempts),
        # all that were read lie in the picture: there may be older ones
        "drawn_from": attempts[DRAWN - 1]["claimed_at"] if len(attempts) >= DRAWN else None,
        "gaps": [{**gap, **scale.bar(gap["silent_from"], gap["heard_at"] or now)} for gap in silences],
        "silences": silences[:SILENCES_SHOWN],
        "ticks": ticks(scale, 6),
        "tasks": await read(_TASKS, node=row["id"], limit=SHOWN),
        "older": (await read(_ATTEMPT_COUNT, node=row["id"], limit=SHOWN + 1))[0]["attempts"] > SHOWN,
    }


def kind(outcome: str | None) -> str:
    """How an attempt is drawn: as its task's end, as running, as an error where it failed, or as given back."""
    if outcome is None:
        return "running"
    if outcome in FAILED:
        return TaskStatus.ERROR
    return outcome if outcome in (TaskStatus.SUCCESS, TaskStatus.CANCELLED) else "returned"
