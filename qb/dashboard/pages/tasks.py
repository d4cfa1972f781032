"""The tasks: what runs, what waits and why, what recurs and what has ended; or one list, narrowed."""

from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any

from qb.contract.states import Reason, TaskStatus
from qb.contract.text import lowered
from qb.dashboard.pages.lines import LIVE, TASK_LINE
from qb.dashboard.pages.reading import Arguments, Read, Rows, asked, glob, number
from qb.dashboard.pages.waiting import explain

SHOWN = 50
LIVE_SHOWN = 200
SEARCHED = 20_000
"""A text is looked for among so many tasks at once; the reader can go on from there."""
PORTION = 1000
SEARCH_SECONDS = 0.5
"""A portion of long prompts is read in a moment, but not twenty of them: then the search ends early, and says where."""
NEWEST = 1 << 62

# In the order in which a node that may serve them all would take them; a schedule's pattern never runs itself.
_QUEUE = TASK_LINE + (
    "WHERE t.status = 'pending' AND t.schedule_id IS NOT t.id ORDER BY t.priority DESC, t.seq LIMIT :limit"
)
_FINISHED = TASK_LINE + "WHERE t.completed_at IS NOT NULL ORDER BY t.completed_at DESC LIMIT :limit"
_SCHEDULES = """
SELECT s.task_id AS id, s.recurrence, s.time_zone, s.next_run_at, s.last_run_at,
    coalesce(t.title, substr(p.prompt, 1, 200)) AS what
FROM schedules s JOIN tasks t ON t.id = s.task_id JOIN task_specs p ON p.task_id = t.id
ORDER BY s.next_run_at LIMIT :limit
"""
_SCHEDULE_COUNT = "SELECT count(*) AS schedules FROM schedules"
_CREATORS = """
SELECT created_by AS creator, count(*) AS tasks FROM (SELECT created_by FROM tasks ORDER BY seq DESC LIMIT 2000)
WHERE created_by IS NOT NULL GROUP BY created_by ORDER BY tasks DESC, creator LIMIT 40
"""
_LATEST = "SELECT max(seq) AS seq FROM tasks"
# The newest of each node, by the index of a node's tasks; then the newest of all of them.
_OF_NODES = """
AND t.seq IN (SELECT e.value FROM nodes n, json_each((SELECT json_group_array(seq) FROM (
    SELECT t.seq FROM tasks t JOIN task_specs s ON s.task_id = t.id
    WHERE t.assigned_node_id = n.id AND {conditions} ORDER BY t.seq DESC LIMIT :limit))) e
    WHERE n.name = :node OR n.name GLOB :node)
"""
_CONDITIONS = {
    # a schedule's pattern is pending for good, and waits for nothing
    "status": "t.status = :status AND t.schedule_id IS NOT t.id",
    "reason": "t.reason = :reason",
    "by": "t.created_by = :by",
    "group": "t.group_id = :group",
    "text": (
        "t.seq >= :floor AND (instr(t.id, :lower) = 1 OR instr(lower(t.title), :lower) "
        "OR instr(lower(s.prompt), :lower))"
    ),
}


async def tasks(
    read: Read, arguments: Arguments, now: datetime, *, timer: Callable[[], float] = monotonic
) -> dict[str, Any]:
    """Values of the page. With a filter there is one list, newest first, in pages; without, what an operator asks."""
    filters = asked(arguments, *_CONDITIONS, "node")
    values: dict[str, Any] = {
        "filters": filters,
        "filtered": any(filters.values()),
        "statuses": [status.value for status in TaskStatus],
        "reasons": [reason.value for reason in Reason],
        "creators": [row["creator"] for row in await read(_CREATORS)],
    }
    if values["filtered"]:
        return values | await _narrowed(read, filters, number(arguments, "before", NEWEST), now, timer)
    queue = await read(_QUEUE, limit=SHOWN)
    return values | {
        "live": await read(LIVE, limit=LIVE_SHOWN),
        "live_shown": LIVE_SHOWN,
        "queue": queue,
        "why": await explain(read, queue, now),
        "schedules": await read(_SCHEDULES, limit=SHOWN),
        "schedule_count": (await read(_SCHEDULE_COUNT))[0]["schedules"],
        "finished": await read(_FINISHED, limit=SHOWN),
    }


async def _narrowed(
    read: Read, filters: dict[str, str], before: int, now: datetime, timer: Callable[[], float]
) -> dict[str, Any]:
    given = {name: value for name, value in filters.items() if value}
    if "node" in given:
        given["node"] = glob(given["node"])
    # the conditions are constants of ours; what the reader typed goes in as parameters
    conditions = " AND ".join(["t.seq < :before", *(_CONDITIONS[name] for name in given if name in _CONDITIONS)])
    of_nodes = _OF_NODES.format(conditions=conditions) if "node" in given else ""
    sql = f"{TASK_LINE} WHERE {conditions} {of_nodes} ORDER BY t.seq DESC LIMIT :limit"
    if "text" in given:
        found, further = await _searched(read, sql, given, before, timer)
    else:
        found, further = await read(sql, **given, before=before, limit=SHOWN + 1), None
    shown = found[:SHOWN]
    waiting = [task for task in shown if task["status"] == TaskStatus.PENDING and not task["is_schedule"]]
    return {
        "found": shown,
        "why": await explain(read, waiting, now),
        "next_before": shown[-1]["seq"] if len(found) > SHOWN else further,
        "looked_through": None if len(found) > SHOWN else further,
    }


async def _searched(
    read: Read, sql: str, given: dict[str, str], before: int, timer: Callable[[], float]
) -> tuple[Rows, int | None]:
    """The newest below `before` that match, and the seq that was come to where older ones were not looked at."""
    newest = (await read(_LATEST))[0]["seq"] or 0
    begin = bottom = min(before, newest + 1)
    found: Rows = []
    until = timer() + SEARCH_SECONDS
    while bottom > 0 and len(found) <= SHOWN:
        if begin - bottom >= SEARCHED or (bottom < begin and timer() > until):
            return found, bottom
        floor = max(0, bottom - PORTION)
        limit = SHOWN + 1 - len(found)
        found += await read(sql, **given, lower=lowered(given["text"]), before=bottom, floor=floor, limit=limit)
        bottom = floor
    return found, None
