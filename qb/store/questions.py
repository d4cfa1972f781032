"""Questions of agents to their operators."""

import json
import sqlite3
from typing import Any

_ADD = """
INSERT INTO task_questions (id, task_id, attempt, asker_key, question, options, asked_at, expires_at)
VALUES (:id, :task_id, :attempt, :key, :question, :options, :asked_at, :expires_at)
"""
_SHOW = """
SELECT q.*, t.cancel_requested_at IS NOT NULL AS cancel_requested,
    q.answer IS NULL AND q.expires_at > :now AND q.attempt = t.attempt AND t.completed_at IS NULL AS open
FROM task_questions q JOIN tasks t ON t.id = q.task_id WHERE q.task_id = :task_id
"""
_ONE = _SHOW + "AND q.id = :id"
_BY_KEY = _SHOW + "AND q.attempt = :attempt AND q.asker_key = :key"
_ALL = _SHOW + "ORDER BY q.asked_at, q.id"
_COUNTS = """
SELECT count(*) AS asked, count(*) FILTER (WHERE answer IS NULL AND expires_at > :now AND attempt = :attempt) AS open
FROM task_questions WHERE task_id = :task_id
"""
_ANSWER = """
UPDATE task_questions SET answer = ?, answered_at = ?, answered_by = ? WHERE id = ? AND answer IS NULL
"""


def add(db: sqlite3.Connection, question: dict[str, Any]) -> None:
    """Keep a question; `options` is a list."""
    db.execute(_ADD, question | {"options": json.dumps(question["options"], ensure_ascii=False)})


def one(db: sqlite3.Connection, task_id: str, question_id: str, *, now: str) -> dict[str, Any] | None:
    """The question, in the shape of Question."""
    row = db.execute(_ONE, {"task_id": task_id, "id": question_id, "now": now}).fetchone()
    return None if row is None else _public(row)


def by_key(db: sqlite3.Connection, task_id: str, attempt: int, key: str, *, now: str) -> dict[str, Any] | None:
    """The question that the attempt has asked under this key of its own."""
    row = db.execute(_BY_KEY, {"task_id": task_id, "attempt": attempt, "key": key, "now": now}).fetchone()
    return None if row is None else _public(row)


def of_task(db: sqlite3.Connection, task_id: str, *, now: str) -> list[dict[str, Any]]:
    """Every question of the task, the oldest first."""
    return [_public(row) for row in db.execute(_ALL, {"task_id": task_id, "now": now})]


def counts(db: sqlite3.Connection, task_id: str, attempt: int, *, now: str) -> tuple[int, int]:
    """How many questions the task has asked, and how many of the attempt's are open."""
    row = db.execute(_COUNTS, {"task_id": task_id, "attempt": attempt, "now": now}).fetchone()
    return row["asked"], row["open"]


def answer(db: sqlite3.Connection, question_id: str, text: str, *, by: str, now: str) -> None:
    """Keep the answer; the first one counts."""
    db.execute(_ANSWER, (text, now, by, question_id))


def _public(row: sqlite3.Row) -> dict[str, Any]:
    question = dict(row)
    del question["asker_key"]
    flags = {name: bool(row[name]) for name in ("open", "cancel_requested")}
    return question | flags | {"options": json.loads(row["options"])}
