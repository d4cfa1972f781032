"""Crush sessions on the wire: the transcript that comes back as a task's log."""

from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

from qb.contract.tasks import NamesTask
from qb.contract.text import NO_NUL, Scrubbed, Text

SESSION_ID_CHARS = 255
SessionId = Annotated[str, StringConstraints(min_length=1, max_length=SESSION_ID_CHARS, pattern=NO_NUL)]
"""Longer than other ids: Crush names a sub-agent's session after its message and its tool call."""


class SessionMessage(BaseModel):
    """One message. `content` is usually a JSON list of Crush parts, but may be any text or null."""

    id: SessionId
    role: Text | None = None
    content: Scrubbed | None = None
    model: Text | None = None
    provider: Text | None = None
    created_at: int | None = None
    finished_at: int | None = None


class Session(BaseModel):
    """One Crush session; times are integers as Crush keeps them, `cost` is in US dollars."""

    id: SessionId
    parent_session_id: SessionId | None = None
    """Of a sub-agent's session, whose cost is part of its parent's; a sender that keeps the two apart leaves it out."""

    title: Scrubbed | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    created_at: int | None = None
    updated_at: int | None = None
    messages: list[SessionMessage] = []


class SessionUpload(NamesTask):
    """Body of POST /logs."""

    session: Session
    attempt: int | None = None


class StoredSession(BaseModel):
    """Reply to POST /logs and each entry of GET /logs/{task_id}."""

    id: str
    task_id: str
    parent_session_id: str | None = None
    title: str | None = None
    prompt_tokens: int
    completion_tokens: int
    cost: float
    created_at: int | None = None
    updated_at: int | None = None
    message_count: int
    stale: bool
    received_at: str
    messages: list[dict[str, Any]] | None = None
