"""After a restore: let a node go on with an attempt that it was given in the time that the database has lost.

The node's key is genuine and its attempt newer than any that the database knows, so the attempt is the authoritative
one. To stop it and run the task again would repeat what the agent has done, and that is never done unasked.
"""

import sqlite3
from datetime import datetime

from qb.contract.states import TaskStatus
from qb.domain import epochs, leases
from qb.domain.lifecycle import Event
from qb.domain.placement import matches
from qb.domain.times import after, iso
from qb.service import transitions
from qb.service.registry import Member
from qb.store import claims, placements, tasks
from qb.store import epochs as epoch


def adopt_unnumbered(
    db: sqlite3.Connection, member: Member, task_id: str, *, floor: int, now: datetime
) -> sqlite3.Row | None:
    """The same for an older client, which names a task and no attempt: it gets the last number of the lost time.

    Its word is all there is, so the task must be one that it never held as far as the database knows: else the word is
    about that attempt.
    """
    if not floor or member.wire >= 2:
        return None
    if claims.last_held(db, task_id, member.traits.node_id) is not None:
        return None
    return adopt(db, member, task_id, floor, floor=floor, now=now)


def adopt(
    db: sqlite3.Connection, member: Member, task_id: str, attempt: int, *, floor: int, now: datetime
) -> sqlite3.Row | None:
    """Make the attempt that `member` lists the task's own, and return the task; None where it is no such attempt.

    The lost time can only have given it a task that was there before the restore, and that it may run. `floor` is the
    epoch's (qb.domain.epochs).
    """
    if not floor:
        return None
    row = tasks.get(db, task_id)
    if row is None or TaskStatus(row["status"]).terminal or row["cancel_requested_at"]:
        return None
    if not epochs.of_lost_time(attempt, known=row["attempt"], floor=floor):
        return None
    if not _could_be_given(db, row, member):
        return None
    if row["lease_expires_at"] is not None:
        tasks.end_attempt(db, row, now=iso(now), outcome=Event.ADOPTED, reason=None)
    node_id = member.traits.node_id
    claims.add_attempt(db, task_id, attempt, node_id=node_id, node_name=member.traits.name, now=iso(now))
    timeout = row["timeout_seconds"]
    adopted = transitions.apply(
        db,
        row,
        Event.ADOPTED,
        now=iso(now),
        node_id=node_id,
        message="the node holds an attempt from before the restore: it goes on",
        starts=row["starts"] + 1,
        attempt=attempt,
        assigned_node_id=node_id,
        assigned_at=iso(now),
        started_at=iso(now),
        lease_expires_at=after(now, member.lease),
        deadline_at=None if timeout is None else after(now, timeout + leases.DEADLINE_GRACE),
        waits_for=0,  # what it waited for had ended, else no node would have it
        claimable=0,
        available_at=None,
        acknowledged=1,
        deliveries=1,
    )
    tasks.start_attempt(db, adopted, now=iso(now))
    return adopted


def _could_be_given(db: sqlite3.Connection, row: sqlite3.Row, member: Member) -> bool:
    began = epoch.began_at(db)
    if began is None or row["created_at"] > began or row["schedule_id"] == row["id"]:
        return False
    return matches(placements.target_of(db, row["placement_id"]), member.traits)
