"""Cancel: a pending task ends at once, a live one when its node confirms."""

import sqlite3

from qb.contract.states import Reporter, TaskStatus
from qb.domain.lifecycle import Event
from qb.service import transitions
from qb.service.ripples import Ripples
from qb.store import tasks


def cancel(db: sqlite3.Connection, row: sqlite3.Row, now: str, ripples: Ripples) -> bool:
    """Note the operator's wish; the first time counts (True), and one that has ended stays as it is."""
    if TaskStatus(row["status"]).terminal or row["cancel_requested_at"] is not None:
        return False
    tasks.request_cancel(db, row["id"], now=now)
    transitions.apply(
        db,
        row,
        Event.CANCEL_REQUESTED,
        now=now,
        source=Reporter.OPERATOR,
        message="cancelled by the operator" if row["status"] == TaskStatus.PENDING else None,
        ripples=ripples,
    )
    if row["assigned_node_id"] is not None:
        ripples.changed.append(row["assigned_node_id"])
    return True
