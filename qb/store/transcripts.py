"""Crush sessions and their messages."""

import sqlite3
from collections.abc import Sequence
from typing import Any

_PUT = """
INSERT OR REPLACE INTO crush_sessions (task_id, id, attempt, title, prompt_tokens, completion_tokens, cost, created_at,
    updated_at, message_count, stale, received_at, parent_session_id)
VALUES (:task_id, :id, :attempt, :title, :prompt_tokens, :completion_tokens, :cost, :created_at, :updated_at,
    :message_count, :stale, :received_at, :parent_session_id)
"""
_CLEAR = "DELETE FROM crush_messages WHERE task_id = ? AND session_id = ?"
_ADD = """
INSERT INTO crush_messages (task_id, session_id, position, id, role, content, model, provider, created_at, finished_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Crush adds the cost of a sub-agent's session to its parent's, and only the cost: there it is counted already.
_ROLL_UP = """
UPDATE tasks SET
    cost = (SELECT sum(s.cost) FROM crush_sessions s WHERE s.task_id = :id AND NOT s.stale AND NOT EXISTS (
        SELECT 1 FROM crush_sessions p WHERE p.task_id = :id AND p.id = s.parent_session_id
            AND p.id <> s.id AND p.parent_session_id IS NOT s.id AND NOT p.stale)),
    tokens = (SELECT sum(prompt_tokens + completion_tokens) FROM crush_sessions WHERE task_id = :id AND NOT stale),
    crush_session_id = coalesce(crush_session_id,
        (SELECT id FROM crush_sessions WHERE task_id = :id AND NOT stale
            ORDER BY parent_session_id IS NOT NULL, created_at LIMIT 1))
WHERE id = :id
"""
_BEGAN = "SELECT claimed_at FROM attempts WHERE task_id = ? AND attempt = ?"
_SESSIONS = "SELECT * FROM crush_sessions WHERE task_id = ? ORDER BY created_at, id"
_MESSAGES = """
SELECT id, role, content, model, provider, created_at, finished_at FROM crush_messages
WHERE task_id = ? AND session_id = ? ORDER BY position
"""


def put(db: sqlite3.Connection, session: dict[str, Any], messages: Sequence[tuple[Any, ...]]) -> None:
    """Keep a session with its messages, in place of what was known of it, and roll its cost up to the task."""
    db.execute(_PUT, session)
    key = (session["task_id"], session["id"])
    db.execute(_CLEAR, key)
    db.executemany(_ADD, [(*key, position, *message) for position, message in enumerate(messages)])
    db.execute(_ROLL_UP, {"id": session["task_id"]})


def began(db: sqlite3.Connection, task_id: str, attempt: int) -> str | None:
    """When the attempt was handed to its node: nothing that it did can be older."""
    row = db.execute(_BEGAN, (task_id, attempt)).fetchone()
    return None if row is None else str(row["claimed_at"])


def sessions(db: sqlite3.Connection, task_id: str) -> list[dict[str, Any]]:
    """The task's sessions with their messages, in the shape of StoredSession."""
    found = []
    for row in db.execute(_SESSIONS, (task_id,)).fetchall():
        session = dict(row) | {"stale": bool(row["stale"])}
        del session["attempt"]
        session["messages"] = [dict(message) for message in db.execute(_MESSAGES, (task_id, row["id"]))]
        found.append(session)
    return found
