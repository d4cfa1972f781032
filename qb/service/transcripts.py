"""POST /logs: the agent's Crush sessions, kept with their task."""

import sqlite3
from typing import Any

from qb.contract.logs import Session, SessionUpload
from qb.contract.routes import Caller
from qb.contract.states import Reporter
from qb.domain.errors import Invalid, NotFound
from qb.domain.times import after, iso, parse
from qb.service import legacy
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Registry
from qb.service.speakers import attempt_of
from qb.store import claims, events, tasks, transcripts

MILLISECONDS = 10**11
"""A time above this is in milliseconds: in seconds it would be after the year 5000."""


TITLE_CHARS = 1000
MOST_TOKENS = 10**12
MOST_COST = 1e9
"""More than this no session can have: what says so is cut, so that sums stay sums."""


class Transcripts:
    """Use cases about transcripts."""

    def __init__(self, core: Core, registry: Registry) -> None:
        self._core = core
        self._registry = registry

    async def take(self, identity: Identity, body: SessionUpload, *, user_agent: str | None = None) -> dict[str, Any]:
        """Keep a session, before or after the task's end; returns StoredSession without its messages.

        One that is older than the task is marked stale and counts no cost; none is refused.
        """
        if body.task is None:
            raise Invalid("task_id is missing: name the task that the session belongs to")
        task_id, session = body.task, body.session
        messages = [
            (each.id, each.role, each.content, each.model, each.provider, each.created_at, each.finished_at)
            for each in session.messages
        ]
        moment = self._core.clock()
        now = iso(moment)
        member = self._registry.members.get(identity.node_id or "")
        learnt: dict[str, Any] = {}
        if member is not None:
            member.seen(moment)
            learnt = legacy.heard_session(member, body, user_agent)

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            attempt = attempt_of(db, identity, task_id, body.attempt, now=moment)
            if member is not None:
                legacy.remember(db, member, learnt)
                claims.renew(db, task_id, attempt, lease=after(moment, member.lease))
            row = tasks.get(db, task_id)
            if row is None:
                raise NotFound(f"no task {task_id}")
            began = transcripts.began(db, task_id, attempt) or row["created_at"]
            stored = _stored(session, task_id, attempt, _stale(session, began), now)
            transcripts.put(db, stored, messages)
            events.add(
                db,
                task_id=task_id,
                attempt=attempt,
                at=now,
                kind="session",
                source=Reporter.AGENT if identity.caller is Caller.AGENT else Reporter.RUNNER,
                node_id=identity.node_id,
                message=(session.title or "")[:TITLE_CHARS] or None,
                detail={"session": session.id, "messages": len(messages), "stale": stored["stale"]},
            )
            return stored

        stored = await self._core.writer.run(work, rows=1 + len(messages))
        self._core.hub.publish(task_id)
        return {key: value for key, value in stored.items() if key != "attempt"}

    async def show(self, task_id: str) -> list[dict[str, Any]]:
        """The task's sessions with their messages. Raises NotFound."""

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            if tasks.get(db, task_id) is None:
                raise NotFound(f"no task {task_id}")
            return transcripts.sessions(db, task_id)

        return await self._core.readers.run(read)


def _stored(session: Session, task_id: str, attempt: int, stale: bool, now: str) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "id": session.id,
        "attempt": attempt,
        "title": None if session.title is None else session.title[:TITLE_CHARS],
        "prompt_tokens": min(max(session.prompt_tokens or 0, 0), MOST_TOKENS),
        "completion_tokens": min(max(session.completion_tokens or 0, 0), MOST_TOKENS),
        "cost": min(max(session.cost or 0.0, 0.0), MOST_COST),
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "message_count": len(session.messages),
        "stale": stale,
        "received_at": now,
        "parent_session_id": session.parent_session_id,
    }


def _stale(session: Session, began: str) -> bool:
    """Whether the session ended before its attempt was handed out: the client sent another task's."""
    newest = session.updated_at or session.created_at
    if newest is None:
        return False
    seconds = newest / 1000 if newest > MILLISECONDS else newest
    return seconds < int(parse(began).timestamp())
