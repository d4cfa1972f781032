"""Who speaks, and for which attempt: known from the credential, and never from the body."""

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qb.contract.routes import Caller
from qb.contract.states import Reporter
from qb.contract.tasks import StatusReport
from qb.domain.errors import NotFound
from qb.service import legacy
from qb.service.credentials import Identity
from qb.service.registry import Member, Registry
from qb.store import claims, tasks


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who reports; of an older client also which node it is, and what its row learns from the report."""

    source: Reporter
    member: Member | None = None
    learnt: dict[str, Any] = field(default_factory=dict)


def speaker_of(
    registry: Registry, identity: Identity, body: StatusReport, user_agent: str | None, now: datetime
) -> Speaker:
    """Who sends the report. Its node has spoken by that."""
    member = registry.members.get(identity.node_id or "")
    if member is None:
        return Speaker(Reporter.AGENT)
    member.seen(now)
    if member.wire >= 2:
        return Speaker(Reporter.RUNNER)
    learnt = legacy.heard_report(member, body, user_agent)
    return Speaker(legacy.speaker(body, user_agent), member, learnt)


def attempt_of(db: sqlite3.Connection, identity: Identity, task_id: str, said: int | None, *, now: datetime) -> int:
    """The attempt that the caller speaks for.

    Raises NotFound for a task that is none of its business, Unauthenticated for a replaced key whose time is over.
    """
    missing = NotFound(f"no task {task_id}")
    if identity.caller is Caller.AGENT:
        if identity.task_id != task_id or identity.attempt is None:
            raise missing
        return identity.attempt
    if identity.caller is Caller.ANYONE:
        # A keyless report, where the setting allows them: the oldest reporters name nothing but the task.
        row = tasks.get(db, task_id)
        if row is None or not row["attempt"]:
            raise missing
        return int(row["attempt"])
    if identity.node_id is None:
        raise missing
    if not identity.current:
        own = legacy.attempt_of_replaced_key(db, identity, task_id, said, now)
        if own is None:
            raise missing
        return own
    last = claims.last_held(db, task_id, identity.node_id)
    if last is None or (said is not None and not claims.ever_held(db, task_id, said, identity.node_id)):
        raise missing
    return last if said is None else said
