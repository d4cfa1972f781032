"""The audit log on the wire: every administrative act, and every credential that was refused."""

from typing import Any

from pydantic import BaseModel

from qb.contract.acts import Action, Outcome


class AuditEntry(BaseModel):
    """One line of the audit log. Refusals of one kind from one address are counted, a line a minute.

    `actor` is the name of the key, or the prefix of a credential that was refused; `object` is an id.
    """

    id: int
    at: str
    actor: str
    actor_id: str | None = None
    action: Action
    object: str | None = None
    outcome: Outcome
    address: str | None = None
    count: int = 1
    detail: dict[str, Any] | None = None
