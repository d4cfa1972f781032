"""The tasks: what runs, what waits and why, what recurs and what has ended; or one list, narrowed."""

from datetime import datetime
from typing import Any

from qb.contract.states import Reason, TaskStatus
from qb.dashboard.pages.lines import LIVE, TASK_LINE
from qb.dashboard.pages.reading import Arguments, Read, asked, number
from qb.dashboard.pages.waiting import explain

SHOWN = 50
LIVE_SHOWN = 200
SEARCHED = 20_000
"""A text is looked for among so many of the newest tasks."""
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
_CREATORS = """
SELECT created_by AS creator, count(*) AS tasks FROM (SELECT created_by FROM tasks ORDER BY seq DESC LIMIT 2000)
WHERE created_by IS NOT NULL GROUP BY created_by ORDER BY tasks DESC, creator LIMIT 40
"""
# The newest of each node, by the index of a node's tasks; then the newest of all of them.
_OF_NODES = """
AND t.seq IN (SELECT e.value FROM nodes n, json_each((SELECT json_group_array(seq) FROM (
    SELECT t.seq FROM tasks t JOIN task_specs s ON s.task_id = t.id
    WHERE t.assigned_node_id = n.id AND {conditions} ORDER BY t.seq DESC LIMIT :limit))) e WHERE n.name GLOB :node)
"""
_CONDITIONS = {
    "status": "t.status = :status",
    "reason": "t.reason = :reason",
    "by": "t.created_by = :by",
    "group": "t.group_id = :group",
    "text": (
        "t.seq > (SELECT max(seq) FROM tasks) - :searched "
        "AND (t.id LIKE :text || '%' OR t.title LIKE '%' || :text || '%' OR s.prompt LIKE '%' || :text || '%')"
    ),
}


async def tasks(read: Read, arguments: Arguments, now: datetime) -> dict[str, Any]:
    """Values of the page. With a filter there is one list, newest first, in pages; without, what an operator asks."""
    filters = asked(arguments, *_CONDITIONS, "node")
    values: dict[str, Any] = {
        "filters": filters,
        "filtered": any(filters.values()),
        "statuses": [status.value for status in TaskStatus],
        "reasons": [reason.value for reason in Reason],
        "creators": [row["creator"] for row in await read(_CREATORS)],
        "searched": SEARCHED,
    }
    if values["filtered"]:
        return values | await _narrowed(read, filters, number(arguments, "before", NEWEST), now)
    queue = await read(_QUEUE, limit=SHOWN)
    return values | {
        "live": await read(LIVE, limit=LIVE_SHOWN),
        "queue": queue,
        "why": await explain(read, queue, now),
        "schedules": await read(_SCHEDULES, limit=SHOWN),
        "finished": await read(_FINISHED, limit=SHOWN),
    }


async def _narrowed(read: Read, filters: dict[str, str], before: int, now: datetime) -> dict[str, Any]:
    given = {name: value for name, value in filters.items() if value}
    # the conditions are constants of ours; what the reader typed goes in as parameters
    conditions = " AND ".join(["t.seq < :before", *(_CONDITIONS[name] for name in given if name in _CONDITIONS)])
    of_nodes = _OF_NODES.format(conditions=conditions) if "node" in given else ""
    sql = f"{TASK_LINE} WHERE {conditions} {of_nodes} ORDER BY t.seq DESC LIMIT :limit"
    found = await read(sql, **given, before=before, searched=SEARCHED, limit=SHOWN + 1)
    shown = found[:SHOWN]
    waiting = [task for task in shown if task["status"] == TaskStatus.PENDING]
    return {
        "found": shown,
        "why": await explain(read, waiting, now),
        "next_before": shown[-1]["seq"] if len(found) > SHOWN else None,
    }
