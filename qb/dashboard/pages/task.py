"""One task: what was asked, what became of it, and what came back."""

from datetime import datetime
from typing import Any

from qb.contract.states import TaskStatus
from qb.dashboard.pages.picture import phases
from qb.dashboard.pages.reading import Read, Row, Rows
from qb.dashboard.pages.waiting import explain
from qb.domain.links import session_url
from qb.domain.times import iso

EVENTS_SHOWN = 300
OUTPUT_LINES = 400
OUTPUT_CHARS = 40_000
MESSAGES_SHOWN = 60
MESSAGE_CHARS = 64_000
"""Read of each transcript message; the page cuts its parts shorter still."""
RELATIVES_SHOWN = 20
DIALOGUE_SHOWN = 50
"""Questions, and figures, at most."""

_TASK = """
SELECT t.*, s.prompt, s.image, s.env, s.on_failure, s.scheduled_for, p.target, n.name AS node, g.title AS group_title,
    c.recurrence, c.time_zone, c.next_run_at, c.last_run_at,
    (SELECT value FROM published_settings WHERE name = 'crush_server_url') AS crush_server
FROM tasks t JOIN task_specs s ON s.task_id = t.id JOIN placements p ON p.id = t.placement_id
LEFT JOIN nodes n ON n.id = t.assigned_node_id LEFT JOIN task_groups g ON g.id = t.group_id
LEFT JOIN schedules c ON c.task_id = t.id
WHERE t.id = :task
"""
_ATTEMPTS = "SELECT * FROM attempts WHERE task_id = :task ORDER BY attempt"
_EVENTS = """
SELECT * FROM (
    SELECT e.*, n.name AS node FROM task_events e LEFT JOIN nodes n ON n.id = e.node_id
    WHERE e.task_id = :task ORDER BY e.id DESC LIMIT :limit
) ORDER BY id
"""
# Where the status changed, of all events: a long task reports its progress more often than the page shows.
_TURNS = """
SELECT at, status FROM (
    SELECT id, at, status, lag(status, 1, 'pending') OVER (ORDER BY id) AS before FROM task_events
    WHERE task_id = :task AND applied AND status IS NOT NULL
) WHERE status <> before ORDER BY id LIMIT :limit
"""
_EVENT_COUNT = "SELECT count(*) AS events FROM task_events WHERE task_id = :task"
_LOG = "SELECT id, last_seq, dropped FROM output_logs WHERE task_id = :task AND attempt = :attempt"
_OUTPUT = "SELECT text FROM output_lines WHERE id > :first AND id < :past ORDER BY id DESC LIMIT :limit"
_QUESTIONS = """
SELECT id, attempt, question, options, asked_at, expires_at, answer, answered_at, answered_by,
    answer IS NULL AND expires_at > :now AS open
FROM task_questions WHERE task_id = :task ORDER BY asked_at, id LIMIT :limit
"""
# Each figure as it was last logged, and how it went.
_METRICS = """
SELECT name, count(*) AS points, min(value) AS least, max(value) AS most, max(at) AS at,
    (SELECT value FROM task_metrics l WHERE l.task_id = m.task_id AND l.attempt = m.attempt AND l.name = m.name
        ORDER BY seq DESC LIMIT 1) AS latest
FROM task_metrics m WHERE task_id = :task AND attempt = :attempt GROUP BY name ORDER BY name LIMIT :limit
"""
_FILES = "SELECT name, size FROM task_files WHERE task_id = :task ORDER BY position"
_ARTIFACTS = "SELECT name, size, checksum, created_at FROM artifacts WHERE task_id = :task ORDER BY name"
_SESSIONS = """
SELECT id, title, prompt_tokens, completion_tokens, cost, message_count, stale, parent_session_id
FROM crush_sessions WHERE task_id = :task ORDER BY received_at, id
"""
_MESSAGES = """
SELECT * FROM (
    SELECT session_id, position, role, model, substr(content, 1, :chars) AS content, length(content) AS length
    FROM crush_messages WHERE task_id = :task ORDER BY session_id DESC, position DESC LIMIT :limit
) ORDER BY session_id, position
"""
_RELATIVES = """
SELECT relation, id, status, title FROM (
    SELECT 'waits for' AS relation, o.id, o.status, o.title, o.seq
    FROM task_dependencies d JOIN tasks o ON o.id = d.depends_on WHERE d.task_id = :task
    UNION ALL
    SELECT 'is awaited by', o.id, o.status, o.title, o.seq
    FROM task_dependencies d JOIN tasks o ON o.id = d.task_id WHERE d.depends_on = :task
    UNION ALL
    SELECT 'is a retry of', o.id, o.status, o.title, o.seq FROM tasks t JOIN tasks o ON o.id = t.retry_of
    WHERE t.id = :task
    UNION ALL
    SELECT 'was retried as', o.id, o.status, o.title, o.seq FROM tasks o WHERE o.retry_of = :task
    UNION ALL
    SELECT 'was asked for by', o.id, o.status, o.title, o.seq FROM tasks t JOIN tasks o ON o.id = t.parent_task_id
    WHERE t.id = :task
    UNION ALL
    SELECT 'asked for', o.id, o.status, o.title, o.seq FROM tasks t JOIN tasks o ON o.root_task_id = t.root_task_id
    WHERE t.id = :task AND o.parent_task_id = :task
    UNION ALL
    SELECT 'is a run of', o.id, o.status, o.title, o.seq FROM tasks t JOIN tasks o ON o.id = t.schedule_id
    WHERE t.id = :task AND t.schedule_id <> t.id
) ORDER BY relation, seq LIMIT :limit
"""
_RUNS = """
SELECT 'ran as' AS relation, id, status, title FROM tasks WHERE schedule_id = :task AND id <> :task
ORDER BY seq DESC LIMIT :limit
"""


async def task(read: Read, task_id: str, now: datetime) -> dict[str, Any] | None:
    """Values of the page, or None where there is no such task."""
    found = await read(_TASK, task=task_id)
    if not found:
        return None
    row = found[0]
    events = await read(_EVENTS, task=task_id, limit=EVENTS_SHOWN)
    turns = await read(_TURNS, task=task_id, limit=EVENTS_SHOWN)
    scale, bars, marks = phases(turns, events, row["created_at"], row["completed_at"], now)
    return {
        "task": row,
        "why": (await explain(read, [row], now)).get(task_id, []) if _waits(row) else [],
        "is_schedule": row["schedule_id"] == row["id"],
        "crush_url": session_url(row["crush_server"], row["crush_session_id"]),
        "relatives": await _relatives(read, row),
        "attempts": await read(_ATTEMPTS, task=task_id),
        "events": events,
        "event_count": (await read(_EVENT_COUNT, task=task_id))[0]["events"],
        "scale": scale,
        "bars": bars,
        "marks": marks,
        **await _output(read, row),
        "questions": await read(_QUESTIONS, task=task_id, now=iso(now), limit=DIALOGUE_SHOWN),
        "metrics": await read(_METRICS, task=task_id, attempt=row["attempt"], limit=DIALOGUE_SHOWN),
        "files": await read(_FILES, task=task_id),
        "artifacts": await read(_ARTIFACTS, task=task_id),
        "sessions": await read(_SESSIONS, task=task_id),
        "messages": await read(_MESSAGES, task=task_id, limit=MESSAGES_SHOWN, chars=MESSAGE_CHARS),
        "messages_shown": MESSAGES_SHOWN,
    }


def _waits(row: Row) -> bool:
    return bool(row["status"] == TaskStatus.PENDING and row["schedule_id"] != row["id"])


async def _relatives(read: Read, row: Row) -> Rows:
    found = await read(_RELATIVES, task=row["id"], limit=RELATIVES_SHOWN)
    if row["schedule_id"] == row["id"]:
        found += await read(_RUNS, task=row["id"], limit=RELATIVES_SHOWN)
    return found


async def _output(read: Read, row: Row) -> dict[str, Any]:
    """The end of what the container of the latest attempt wrote."""
    logs = await read(_LOG, task=row["id"], attempt=row["attempt"])
    if not logs:
        return {"output": "", "output_dropped": 0}
    # the ids of a log's lines lie in a stretch of their own: see qb.store.output
    first, past = logs[0]["id"] << 28, (logs[0]["id"] + 1) << 28
    lines = await read(_OUTPUT, first=first, past=past, limit=OUTPUT_LINES)
    text = "".join(line["text"] for line in reversed(lines))[-OUTPUT_CHARS:]
    return {"output": text, "output_dropped": logs[0]["dropped"]}
