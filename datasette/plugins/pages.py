"""The dashboard's two pages: the fleet with its tasks, and one task. All their SQL is here, named."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from datasette import NotFound, Response, hookimpl

Rows = list[dict[str, Any]]
Parameters = dict[str, Any]

DATABASE = "qb"
SHOWN = 50
"""Rows of the queue and of what has finished; a query leads to the rest."""
NODES_SHOWN = 500
EVENTS_SHOWN = 300
OUTPUT_CHUNKS = 400
OUTPUT_CHARS = 40_000
MESSAGES_SHOWN = 60
MESSAGE_CHARS = 64_000
"""Read of each transcript message; the page cuts its parts shorter still."""
QUIET_SECONDS = 60
"""When no node has spoken for so long, the control plane itself may be down."""

_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

_NODES = """
SELECT id, name, mode, state, status, last_seen_at, slots, wire, generation, runner_version, tags
FROM nodes ORDER BY name LIMIT :limit
"""
_NODE_COUNT = "SELECT count(*) AS nodes, max(last_seen_at) AS heard_at FROM nodes"
_TASK_COUNTS = "SELECT status, count(*) AS tasks FROM tasks GROUP BY status"
_TASK_LINE = """
SELECT t.id, t.status, coalesce(t.title, substr(s.prompt, 1, 200)) AS what, t.progress, t.message, t.reason,
    t.error_message, t.attempt, t.max_attempts, t.priority, t.cancel_requested_at, t.available_at, t.created_at,
    t.started_at, t.completed_at, t.assigned_node_id, n.name AS node, p.target
FROM tasks t JOIN task_specs s ON s.task_id = t.id JOIN placements p ON p.id = t.placement_id
LEFT JOIN nodes n ON n.id = t.assigned_node_id
"""
_LIVE = _TASK_LINE + "WHERE t.lease_expires_at IS NOT NULL ORDER BY t.seq DESC LIMIT :limit"
_QUEUE = _TASK_LINE + "WHERE t.status = 'pending' ORDER BY t.seq DESC LIMIT :limit"
_FINISHED = _TASK_LINE + "WHERE t.completed_at IS NOT NULL ORDER BY t.completed_at DESC LIMIT :limit"

_TASK = """
SELECT t.*, s.prompt, s.image, p.target, n.name AS node
FROM tasks t JOIN task_specs s ON s.task_id = t.id JOIN placements p ON p.id = t.placement_id
LEFT JOIN nodes n ON n.id = t.assigned_node_id WHERE t.id = :task
"""
_ATTEMPTS = "SELECT * FROM attempts WHERE task_id = :task ORDER BY attempt"
_EVENTS = """
SELECT * FROM (SELECT * FROM task_events WHERE task_id = :task ORDER BY id DESC LIMIT :limit) ORDER BY id
"""
_EVENT_COUNT = "SELECT count(*) AS events FROM task_events WHERE task_id = :task"
_OUTPUT = """
SELECT text FROM task_output WHERE task_id = :task AND attempt = :attempt ORDER BY id DESC LIMIT :limit
"""
_FILES = "SELECT name, size FROM task_files WHERE task_id = :task ORDER BY position"
_ARTIFACTS = "SELECT name, size, checksum, created_at FROM artifacts WHERE task_id = :task ORDER BY name"
_SESSIONS = """
SELECT id, title, prompt_tokens, completion_tokens, cost, message_count, stale
FROM crush_sessions WHERE task_id = :task ORDER BY received_at, id
"""
_MESSAGES = """
SELECT * FROM (
    SELECT session_id, position, role, model, substr(content, 1, :chars) AS content, length(content) AS length
    FROM crush_messages WHERE task_id = :task ORDER BY session_id DESC, position DESC LIMIT :limit
) ORDER BY session_id, position
"""


@hookimpl
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Put the fleet in the place of Datasette's index, and give each task a page."""
    return [(r"^/$", fleet_page), (r"^/task/(?P<task_id>[0-9A-Za-z-]{1,64})$", task_page)]


async def fleet_page(datasette: Any, request: Any) -> Response:
    """Nodes, what runs on them, what waits and what has ended."""
    now = datetime.now(UTC)
    nodes = await _rows(datasette, _NODES, limit=NODES_SHOWN)
    summary = (await _rows(datasette, _NODE_COUNT))[0]
    counts = {row["status"]: row["tasks"] for row in await _rows(datasette, _TASK_COUNTS)}
    live = await _rows(datasette, _LIVE, limit=NODES_SHOWN)
    context = {
        "nodes": _with_tasks(nodes, live, now),
        "node_count": summary["nodes"],
        "quiet_since": _quiet_since(summary["heard_at"], now),
        "counts": defaultdict(int, counts),
        "live": live,
        "queue": await _rows(datasette, _QUEUE, limit=SHOWN),
        "finished": await _rows(datasette, _FINISHED, limit=SHOWN),
        "now": now,
    }
    return await _page(datasette, request, "fleet.html", context)


async def task_page(datasette: Any, request: Any) -> Response:
    """Everything that is known of one task. Raises NotFound for an id that is not there."""
    task_id = request.url_vars["task_id"]
    found = await _rows(datasette, _TASK, task=task_id)
    if not found:
        raise NotFound(f"There is no task {task_id}: it may have been removed by a clean-up")
    task = found[0]
    output = await _rows(datasette, _OUTPUT, task=task_id, attempt=task["attempt"], limit=OUTPUT_CHUNKS)
    context = {
        "task": task,
        "attempts": await _rows(datasette, _ATTEMPTS, task=task_id),
        "events": await _rows(datasette, _EVENTS, task=task_id, limit=EVENTS_SHOWN),
        "event_count": (await _rows(datasette, _EVENT_COUNT, task=task_id))[0]["events"],
        "output": "".join(row["text"] for row in reversed(output))[-OUTPUT_CHARS:],
        "files": await _rows(datasette, _FILES, task=task_id),
        "artifacts": await _rows(datasette, _ARTIFACTS, task=task_id),
        "sessions": await _rows(datasette, _SESSIONS, task=task_id),
        "messages": await _rows(datasette, _MESSAGES, task=task_id, limit=MESSAGES_SHOWN, chars=MESSAGE_CHARS),
        "now": datetime.now(UTC),
    }
    return await _page(datasette, request, "task.html", context)


async def _rows(datasette: Any, sql: str, **parameters: Any) -> Rows:
    results = await datasette.get_database(DATABASE).execute(sql, parameters)
    return [dict(row) for row in results.rows]


async def _page(datasette: Any, request: Any, template: str, context: Parameters) -> Response:
    if request.method not in ("GET", "HEAD"):
        return Response.text("The dashboard only shows: use GET", status=405, headers={"Allow": "GET, HEAD"})
    html = await datasette.render_template(template, context, request=request)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return Response.html(html, headers=headers)


def _with_tasks(nodes: Rows, live: Rows, now: datetime) -> Rows:
    """Each node with the tasks that it holds, and whether it has been silent for too long."""
    held: defaultdict[str, Rows] = defaultdict(list)
    for task in live:
        held[task["assigned_node_id"]].append(task)
    return [{**node, "tasks": held[node["id"]], "stale": _stale(node, now)} for node in nodes]


def _stale(node: dict[str, Any], now: datetime) -> bool:
    # three heartbeats of ours; older runners may be silent for longer while all is well
    patience = 45 if node["wire"] > 1 else 180
    seen = node["last_seen_at"]
    return node["status"] == "offline" or seen is None or _age(seen, now) > patience


def _quiet_since(heard_at: str | None, now: datetime) -> str | None:
    return heard_at if heard_at is not None and _age(heard_at, now) > QUIET_SECONDS else None


def _age(moment: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds()
