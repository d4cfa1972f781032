"""One task: what was asked, what became of it, and what came back."""

from datetime import datetime
from typing import Any

from qb.contract.states import TaskStatus
from qb.contract.task_metrics import MOST_NAMES
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
"""Of each kind."""
DIALOGUE_SHOWN = 50
"""Questions at most."""

_TASK = """
SELECT t.*, s.prompt, s.image, s.env, s.on_failure, s.scheduled_for, p.target, n.name AS node, g.title AS group_title,
    c.recurrence, c.time_zone, c.next_run_at, c.last_run_at,
    (SELECT actor FROM audit_log WHERE at = t.cancel_requested_at AND object = t.id AND action = 'task_cancelled')
        AS cancelled_by,
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
# What retention has taken of a task by the time that it ended.
_REMOVED = "SELECT kind FROM retention_marks WHERE through >= :ended"
_LOG = "SELECT id, last_seq, dropped FROM output_logs WHERE task_id = :task AND attempt = :attempt"
_OUTPUT = "SELECT text FROM output_lines WHERE id > :first AND id < :past ORDER BY id DESC LIMIT :limit"
# The newest, and how many there are. As in qb.store.questions nobody can answer what an earlier attempt asked.
_QUESTIONS = """
SELECT * FROM (
    SELECT q.id, q.attempt, question, options, asked_at, q.expires_at, answer, answered_at, answered_by,
        answer IS NULL AND q.expires_at > :now AND q.attempt = t.attempt AND t.completed_at IS NULL AS open,
        count(*) OVER () AS asked
    FROM task_questions q JOIN tasks t ON t.id = q.task_id
    WHERE q.task_id = :task ORDER BY asked_at DESC, q.id DESC LIMIT :limit
) ORDER BY asked_at, id
"""
# Each figure as it was last logged, and how it went.
_METRICS = """
SELECT name, count(*) AS points, min(value) AS least, max(value) AS most, max(at) AS at,
    (SELECT value FROM task_metrics l WHERE l.task_id = m.task_id AND l.name = m.name
        ORDER BY attempt DESC, seq DESC LIMIT 1) AS latest
FROM task_metrics m WHERE task_id = :task GROUP BY name ORDER BY name LIMIT :limit
"""
_FILES = "SELECT name, size FROM task_files WHERE task_id = :task ORDER BY position"
_ARTIFACTS = "SELECT name, size, checksum, created_at FROM artifacts WHERE task_id = :task ORDER BY name"
_SESSIONS = """
SELECT id, attempt, title, prompt_tokens, completion_tokens, cost, message_count, stale, parent_session_id
FROM crush_sessions WHERE task_id = :task ORDER BY received_at, id
"""
_MESSAGES = """
SELECT * FROM (
    SELECT session_id, position, role, model, substr(content, 1, :chars) AS content, length(content) AS length
    FROM crush_messages WHERE task_id = :task AND session_id = :session ORDER BY position DESC LIMIT :limit
) ORDER BY position
"""
_RELATIVES = """
WITH others AS (
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
), counted AS (
    SELECT *, count(*) OVER (PARTITION BY relation) AS total,
        row_number() OVER (PARTITION BY relation ORDER BY seq) AS number
    FROM others
)
SELECT relation, id, status, title, total FROM counted WHERE number <= :limit ORDER BY relation, seq
"""
_RUNS = """
SELECT 'ran as' AS relation, id, status, title,
    (SELECT count(*) FROM tasks WHERE schedule_id = :task AND id <> :task) AS total
FROM tasks WHERE schedule_id = :task AND id <> :task ORDER BY seq DESC LIMIT :limit
"""


async def task(read: Read, task_id: str, now: datetime) -> dict[str, Any] | None:
    """Values of the page, or None where there is no such task."""
    found = await read(_TASK, task=task_id)
    if not found:
        return None
    row = found[0]
    events = await read(_EVENTS, task=task_id, limit=EVENTS_SHOWN)
    removed = {each["kind"] for each in await read(_REMOVED, ended=row["completed_at"])}
    turns = _known(row) if "events" in removed else await read(_TURNS, task=task_id, limit=EVENTS_SHOWN)
    scale, bars, marks = phases(turns, events, row["created_at"], row["completed_at"], now)
    return {
        "task": row,
        "why": (await explain(read, [row], now)).get(task_id, []) if _waits(row) else [],
        "is_schedule": row["schedule_id"] == row["id"],
        "crush_url": session_url(row["crush_server"], row["crush_session_id"]),
        "relatives": await _relatives(read, row),
        "relatives_shown": RELATIVES_SHOWN,
        "attempts": await read(_ATTEMPTS, task=task_id),
        "events": events,
        "event_count": (await read(_EVENT_COUNT, task=task_id))[0]["events"],
        "scale": scale,
        "bars": bars,
        "marks": marks,
        **await _output(read, row),
        "questions": await read(_QUESTIONS, task=task_id, now=iso(now), limit=DIALOGUE_SHOWN),
        "metrics": await read(_METRICS, task=task_id, limit=MOST_NAMES),
        "files": await read(_FILES, task=task_id),
        "artifacts": await read(_ARTIFACTS, task=task_id),
        "sessions": await _transcript(read, task_id),
        "removed": removed,
    }


def _waits(row: Row) -> bool:
    return bool(row["status"] == TaskStatus.PENDING and row["schedule_id"] != row["id"])


def _known(row: Row) -> Rows:
    """The turns that the task itself knows, those of its last attempt, for when its events are gone."""
    turns = (("assigned_at", TaskStatus.ASSIGNED), ("started_at", TaskStatus.RUNNING), ("completed_at", row["status"]))
    return [{"at": row[column], "status": status} for column, status in turns if row[column]]


async def _relatives(read: Read, row: Row) -> Rows:
    found = await read(_RELATIVES, task=row["id"], limit=RELATIVES_SHOWN)
    if row["schedule_id"] == row["id"]:
        found += await read(_RUNS, task=row["id"], limit=RELATIVES_SHOWN)
    return found


async def _transcript(read: Read, task_id: str) -> Rows:
    """The sessions, each with the newest of its `messages`: as many as fit, from the most telling session on."""
    sessions = await read(_SESSIONS, task=task_id)
    left = MESSAGES_SHOWN
    for session in sorted(sessions, key=_telling):
        of = {"task": task_id, "session": session["id"], "limit": left, "chars": MESSAGE_CHARS}
        session["messages"] = await read(_MESSAGES, **of) if left else []
        left -= len(session["messages"])
    return sessions


def _telling(session: Row) -> tuple[bool, int, bool]:
    """Sorts the latest attempt's main session before its sub-agents', and those before what earlier attempts left."""
    return bool(session["stale"]), -session["attempt"], session["parent_session_id"] is not None


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
