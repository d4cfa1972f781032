"""Databases as Crush writes them, made for tests."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, parent_session_id TEXT, title TEXT, message_count INTEGER,
    prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, updated_at INTEGER, created_at INTEGER,
    summary_message_id TEXT, todos TEXT);
CREATE TABLE messages (id TEXT PRIMARY KEY, session_id TEXT, role TEXT, parts TEXT, model TEXT, created_at INTEGER,
    updated_at INTEGER, finished_at INTEGER, provider TEXT, is_summary_message INTEGER);
"""
EVERY_PART: list[dict[str, Any]] = [
    {"type": "text", "data": {"text": "Reading sales.csv."}},
    {"type": "reasoning", "data": {"thinking": "The header comes first.", "signature": "s"}},
    {"type": "tool_call", "data": {"id": "c1", "name": "view", "input": '{"path": "sales.csv"}', "finished": True}},
    {"type": "tool_result", "data": {"tool_call_id": "c1", "content": "id,total", "is_error": False}},
    {"type": "image_url", "data": {"url": "data:image/png;base64,AAAA"}},
    {"type": "binary", "data": {"path": "a.png", "mime_type": "image/png", "data": "AAAA"}},
    {"type": "finish", "data": {"reason": "end_turn", "time": 1}},
]
Message = tuple[str, str, Any]
"""Id, role, parts."""


def session(number: str, began: int, *, parent: str | None = None, tokens: int = 100, cost: float = 0.25) -> list[Any]:
    """A row of sessions."""
    return [number, parent, f"title of {number}", 1, tokens, tokens // 10, cost, began + 5, began, None, None]


def write(
    path: Path, sessions: Sequence[list[Any]], messages: Iterable[Message] = (), *, of: str | None = None
) -> Path:
    """Make the database; the messages are those of the session `of`, or of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = of or (sessions[0][0] if sessions else "none")
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
        db.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", sessions)
        rows = (
            (
                number,
                owner,
                role,
                parts if isinstance(parts, str) else json.dumps(parts),
                "m",
                place,
                place,
                place,
                "p",
                0,
            )
            for place, (number, role, parts) in enumerate(messages, sessions[0][8] if sessions else 0)
        )
        db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.commit()
    return path
