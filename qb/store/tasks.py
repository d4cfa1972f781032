"""Tasks: creation, what the API shows, and the one guarded statement that changes a status."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qb.contract.states import TaskStatus
from qb.domain.errors import Conflict
from qb.domain.links import session_url

_INSERT = """
INSERT INTO tasks (id, seq, title, placement_id, priority, timeout_seconds, status, claimable, attempt, starts,
    max_attempts, deliveries, acknowledged, available_at, created_at, created_by,
    created_by_key, group_id, schedule_id, retry_of,
    waits_for, expires_at, backoff_seconds, retry_on, limited_by, parent_task_id, root_task_id, depth)
VALUES (:id, (SELECT coalesce(max(seq), 0) + 1 FROM tasks), :title, :placement_id, :priority, :timeout_seconds,
    'pending', :available_at IS NULL AND :waits_for = 0 AND :limited_by IS NULL AND :schedule_id IS NOT :id,
    0, 0, :max_attempts, 0, 0, :available_at, :created_at, :created_by,
    :created_by_key, :group_id, :schedule_id, :retry_of,
    :waits_for, :expires_at, :backoff_seconds, :retry_on, :limited_by, :parent_task_id, :root_task_id, :depth)
"""
_INSERT_SPEC = """
INSERT INTO task_specs (task_id, prompt, image, env, env_id, limits, scheduled_for, recurrence, depends_on, on_failure,
    queue_timeout_seconds)
VALUES (:id, :prompt, :image, :env, :env_id, :limits, :scheduled_for, :recurrence, :depends_on, :on_failure,
    :queue_timeout_seconds)
"""
_PATTERN = "SELECT t.*, s.* FROM tasks t JOIN task_specs s ON s.task_id = t.id WHERE t.id = ?"
_RETRIED_AS = "SELECT id FROM tasks WHERE retry_of = ?"
_EXPIRING = """
SELECT * FROM tasks INDEXED BY tasks_expiring
WHERE expires_at <= ? AND expires_at IS NOT NULL AND status = 'pending' AND starts = 0 LIMIT ?
"""
_GET = "SELECT * FROM tasks WHERE id = ?"
_SHOW = """
SELECT t.*, s.prompt, s.image, s.env, s.limits, s.scheduled_for, s.recurrence, s.depends_on, s.on_failure, p.target,
    n.name AS assigned_node_name,
    (SELECT value FROM published_settings WHERE name = 'crush_server_url') AS crush_server_url,
    (SELECT nullif(sum(dropped), 0) FROM output_logs WHERE task_id = t.id) AS output_dropped,
    (SELECT max(expires_at) FROM task_questions q WHERE q.task_id = t.id AND q.attempt = t.attempt
        AND q.answer IS NULL AND t.completed_at IS NULL) AS waiting_until,
    (SELECT json_group_array(name) FROM (SELECT name FROM task_files WHERE task_id = t.id ORDER BY position)) AS files
FROM tasks t JOIN task_specs s ON s.task_id = t.id JOIN placements p ON p.id = t.placement_id
LEFT JOIN nodes n ON n.id = t.assigned_node_id
"""
_ONE = _SHOW + "WHERE t.id = ?"
_SEVERAL = _SHOW + "WHERE t.seq IN (SELECT value FROM json_each(?)) ORDER BY t.seq DESC"  # noqa: S608 - both are constants
_CREATED_BY_KEY = "SELECT created_by_key FROM tasks WHERE id = ?"
_ENV_ID = "SELECT env_id FROM task_specs WHERE task_id = ?"
_ENV_OVER = """
SELECT min(t.completed_at IS NOT NULL) FROM task_specs s JOIN tasks t ON t.id = s.task_id WHERE s.env_id = ?
"""
_END_ATTEMPT = """
UPDATE attempts SET ended_at = ?, outcome = ?, reason = ?, exit_code = ? WHERE task_id = ? AND attempt = ?
"""
_START_ATTEMPT = "UPDATE attempts SET started_at = coalesce(started_at, ?) WHERE task_id = ? AND attempt = ?"
_AGENT_SAID = "UPDATE attempts SET agent_status = ?, agent_message = ? WHERE task_id = ? AND attempt = ?"
_CANCEL_REQUESTED = """
UPDATE tasks SET cancel_requested_at = coalesce(cancel_requested_at, ?) WHERE id = ? AND completed_at IS NULL
"""
_COUNTS = """
SELECT (SELECT count(*) FROM tasks WHERE status = 'pending') - (SELECT count(*) FROM schedules) AS pending_tasks,
    (SELECT count(*) FROM tasks WHERE lease_expires_at IS NOT NULL) AS running_tasks,
    (SELECT count(*) FROM tasks INDEXED BY tasks_completed
        WHERE completed_at >= :day AND completed_at IS NOT NULL AND status = 'success') AS completed_tasks_today,
    (SELECT count(*) FROM tasks INDEXED BY tasks_completed
        WHERE completed_at >= :day AND completed_at IS NOT NULL AND status = 'error') AS failed_tasks_today
"""
_SHOWN = (
    "id title prompt priority timeout_seconds status reason assigned_node_id assigned_node_name attempt max_attempts "
    "progress message agent_status exit_code result error_message crush_session_id cost tokens cancel_requested_at "
    "created_at assigned_at started_at completed_at deadline_at scheduled_for recurrence created_by created_by_key "
    "image output_dropped waiting_until "
    "schedule_id group_id retry_of on_failure available_at expires_at backoff_seconds parent_task_id root_task_id depth"
).split()


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task as its creator wants it; JSON values are given as text. Of `env` only the names come here."""

    id: str
    prompt: str
    placement_id: int
    priority: int
    timeout_seconds: int | None
    max_attempts: int
    created_at: str
    created_by: str
    created_by_key: str | None = None
    title: str | None = None
    available_at: str | None = None
    image: str | None = None
    env: str | None = None
    env_id: str | None = None
    limits: str | None = None
    scheduled_for: str | None = None
    recurrence: str | None = None
    depends_on: str | None = None
    on_failure: str | None = None
    queue_timeout_seconds: int | None = None
    group_id: str | None = None
    schedule_id: str | None = None
    retry_of: str | None = None
    waits_for: int = 0
    expires_at: str | None = None
    backoff_seconds: int = 0
    retry_on: str | None = None
    limited_by: str | None = None
    parent_task_id: str | None = None
    root_task_id: str | None = None
    depth: int = 0


def insert(db: sqlite3.Connection, task: NewTask) -> None:
    """Add a task to its line. It waits outside until `available_at`, while it waits for others or is limited by a key;
    one that names itself as its schedule is a pattern, and never runs.
    """
    values = {name: getattr(task, name) for name in NewTask.__slots__}
    db.execute(_INSERT, values)
    db.execute(_INSERT_SPEC, values)


def pattern(db: sqlite3.Connection, task_id: str) -> NewTask | None:
    """What the creator of a task asked for, to make another one like it, or None."""
    row = db.execute(_PATTERN, (task_id,)).fetchone()
    return None if row is None else NewTask(**{name: row[name] for name in NewTask.__slots__})


def retried_as(db: sqlite3.Connection, task_id: str) -> str | None:
    """The task that was made to retry this one, or None."""
    row = db.execute(_RETRIED_AS, (task_id,)).fetchone()
    return None if row is None else str(row[0])


def expiring(db: sqlite3.Connection, *, now: str, limit: int) -> list[sqlite3.Row]:
    """Tasks that have waited too long for their first start."""
    return db.execute(_EXPIRING, (now, limit)).fetchall()


def get(db: sqlite3.Connection, task_id: str) -> sqlite3.Row | None:
    """The hot part of a task, or None."""
    row: sqlite3.Row | None = db.execute(_GET, (task_id,)).fetchone()
    return row


def created_by_key(db: sqlite3.Connection, task_id: str) -> str | None:
    """The id of the key that made the task; None where there is none such."""
    row = db.execute(_CREATED_BY_KEY, (task_id,)).fetchone()
    return None if row is None else row[0]


def env_id(db: sqlite3.Connection, task_id: str) -> str | None:
    """Under which id keys.db has the task's environment; None when it has none."""
    row = db.execute(_ENV_ID, (task_id,)).fetchone()
    return None if row is None else row[0]


def env_over(db: sqlite3.Connection, env_id: str) -> bool | None:
    """Whether all tasks with this environment have ended; None where there is no such task."""
    over = db.execute(_ENV_OVER, (env_id,)).fetchone()[0]
    return None if over is None else bool(over)


def show(db: sqlite3.Connection, task_id: str) -> dict[str, Any] | None:
    """The task in the shape of the contract's Task, or None."""
    row = db.execute(_ONE, (task_id,)).fetchone()
    return None if row is None else _public(row)


def several(db: sqlite3.Connection, numbers: list[int]) -> list[dict[str, Any]]:
    """The tasks of these numbers (`seq`), newest first, in the shape of the contract's Task."""
    return [_public(row) for row in db.execute(_SEVERAL, (json.dumps(numbers),))]


def move(db: sqlite3.Connection, row: sqlite3.Row, to: TaskStatus, *, now: str, **changes: Any) -> sqlite3.Row:
    """Change a task's status and `changes` with it, only if it still is as `row` says.

    Raises Conflict when it is not: another attempt or another event came first.
    """
    if to is TaskStatus.PENDING:
        changes |= {"claimable": _free({**row, **changes}), "assigned_node_id": None, "lease_expires_at": None}
        changes |= {"deadline_at": None}
        changes |= {"started_at": None, "assigned_at": None, "progress": None}
    elif to.terminal:
        changes |= {"claimable": 0, "lease_expires_at": None, "deadline_at": None, "available_at": None}
        changes |= {"completed_at": now}
    columns = "".join(f", {column} = :{column}" for column in changes)
    statement = (
        f"UPDATE tasks SET status = :to{columns} "  # noqa: S608
        "WHERE id = :id AND attempt = :was_attempt AND status = :was_status RETURNING *"
    )
    guards = {"id": row["id"], "was_attempt": row["attempt"], "was_status": row["status"], "to": to}
    rows = db.execute(statement, {**changes, **guards}).fetchall()
    if not rows:
        raise Conflict(f"task {row['id']} has changed meanwhile: read it again")
    moved: sqlite3.Row = rows[0]
    return moved


def start_attempt(db: sqlite3.Connection, row: sqlite3.Row, *, now: str) -> None:
    """Note when the attempt began to run."""
    db.execute(_START_ATTEMPT, (now, row["id"], row["attempt"]))


def end_attempt(
    db: sqlite3.Connection,
    row: sqlite3.Row,
    *,
    now: str,
    outcome: str,
    reason: str | None,
    exit_code: int | None = None,
) -> None:
    """Note how the attempt ended."""
    if row["attempt"]:
        db.execute(_END_ATTEMPT, (now, outcome, reason, exit_code, row["id"], row["attempt"]))


def agent_said(db: sqlite3.Connection, row: sqlite3.Row, status: str, message: str | None) -> None:
    """Keep the agent's own verdict with the attempt."""
    db.execute(_AGENT_SAID, (status, message, row["id"], row["attempt"]))


def request_cancel(db: sqlite3.Connection, task_id: str, *, now: str) -> None:
    """Note the operator's wish; the first time counts."""
    db.execute(_CANCEL_REQUESTED, (now, task_id))


def counts(db: sqlite3.Connection, *, day: str) -> dict[str, int]:
    """Figures for the dashboard; `day` is the day's first moment."""
    return dict(db.execute(_COUNTS, {"day": day}).fetchone())


def _free(task: Mapping[str, Any]) -> bool:
    """Whether a pending task may be claimed at once; one that is limited by a key waits to be offered."""
    return task["available_at"] is None and not task["waits_for"] and task["limited_by"] is None


def _public(row: sqlite3.Row) -> dict[str, Any]:
    task = {key: row[key] for key in _SHOWN}
    node_id, node_name, tags, capabilities = json.loads(row["target"])[:4]
    task["target_node_id"], task["target_node_name"] = node_id, node_name
    task["target_tags"] = dict(tags) or None
    task["capabilities"] = capabilities or None
    task["limits"] = json.loads(row["limits"]) if row["limits"] else None
    task["env_names"] = json.loads(row["env"]) if row["env"] else []
    task["files"] = json.loads(row["files"])
    for listed in ("depends_on", "retry_on"):
        task[listed] = json.loads(row[listed]) if row[listed] else None
    task["crush_url"] = session_url(row["crush_server_url"], row["crush_session_id"])
    task["cancel_requested"] = row["cancel_requested_at"] is not None
    return task
