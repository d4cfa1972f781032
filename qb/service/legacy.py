"""What older clients force (wire.md, rules 4, 5, 6 and 9): their words are few, and their silence has to be read.

Called only for nodes whose `wire` is below 2. An old runner loops poll, start, heartbeat, sleep, and polls only when it
is idle; so the order of its requests tells what became of an attempt.
"""

import sqlite3
from datetime import datetime, timedelta
from typing import Any

from qb.contract.logs import SessionUpload
from qb.contract.nodes import Heartbeat
from qb.contract.states import NodeMode, NodeStatus, Reporter, ReportStatus, TaskStatus
from qb.contract.tasks import StatusReport
from qb.domain import generations, leases
from qb.domain.errors import Unauthenticated
from qb.domain.generations import Sign
from qb.domain.lifecycle import Event
from qb.domain.times import after, iso, parse
from qb.service import transitions
from qb.service.credentials import Identity
from qb.service.registry import Member
from qb.service.ripples import Ripples
from qb.store import claims, doubts, nodes, tasks

LOST = Event.LEASE_EXPIRED
"""The doubt about a reply that was lost: delivered again at the next poll, or given up when none comes."""

# what a request tells of the client


def learn(member: Member, sign: Sign | None) -> dict[str, Any]:
    """Take the sign in; returns what changes in the node's row."""
    learnt = member.generation if sign is None else generations.learn(member.generation, sign)
    if learnt is member.generation:
        return {}
    member.generation = learnt
    return {"generation": learnt}


def heard_heartbeat(member: Member, body: Heartbeat, now: datetime) -> dict[str, Any]:
    """Learn from a heartbeat what the client is and how often it calls; returns what changes in the node's row."""
    sign = generations.heartbeat_sign(
        own_id=None if body.node_id is None else body.node_id == member.traits.node_id,
        idle=body.status is NodeStatus.IDLE,
        names_task=body.current_task_id is not None,
    )
    changes = learn(member, sign)
    if member.beat(now):
        changes["poll_interval"] = member.interval
    return changes


def heard_report(member: Member, body: StatusReport, user_agent: str | None) -> dict[str, Any]:
    """Learn from a report what the client is; returns what changes in the node's row."""
    sign = generations.report_sign(job_id=body.job_id is not None, user_agent=user_agent, status=body.status)
    return learn(member, sign)


def heard_session(member: Member, body: SessionUpload, user_agent: str | None) -> dict[str, Any]:
    """Learn from a session what the client is; returns what changes in the node's row."""
    if member.wire >= 2:
        return {}
    sign = generations.report_sign(job_id=body.job_id is not None, user_agent=user_agent, status=None)
    return learn(member, sign)


def speaker(body: StatusReport, user_agent: str | None) -> Reporter:
    """Who speaks with the key that an old runner shares with its container's reporter."""
    by_reporter = generations.by_reporter(job_id=body.job_id is not None, user_agent=user_agent)
    return Reporter.AGENT if by_reporter else Reporter.RUNNER


# rule 5: what became of an attempt


def heartbeat(
    db: sqlite3.Connection, member: Member, holds: list[sqlite3.Row], body: Heartbeat, now: datetime
) -> Ripples:
    """Renew all that the node holds, and read what the heartbeat says of it; returns what has changed by that."""
    ripples = Ripples()
    if not holds:
        return ripples
    claims.renew_all(db, member.traits.node_id, lease=after(now, member.lease))
    for held in holds:
        if held["status"] != TaskStatus.ASSIGNED:
            continue
        if body.status is NodeStatus.BUSY or body.current_task_id == held["id"]:
            _runs(db, held, now)
        elif body.status is not NodeStatus.IDLE or not _lost(db, member, held, now, ripples):
            continue
        ripples.changed.append(held["id"])
    return ripples.resolve(db)


def _runs(db: sqlite3.Connection, held: sqlite3.Row, now: datetime) -> None:
    row = _task(db, held)
    changes: dict[str, Any] = {"started_at": iso(now)}
    if row["timeout_seconds"] is not None:
        changes["deadline_at"] = after(now, row["timeout_seconds"] + leases.DEADLINE_GRACE)
    transitions.apply(db, row, Event.REPORTED_RUNNING, now=iso(now), source=Reporter.RUNNER, **changes)
    tasks.start_attempt(db, row, now=iso(now))


def _lost(db: sqlite3.Connection, member: Member, held: sqlite3.Row, now: datetime, ripples: Ripples) -> bool:
    """The node is idle after a delivery. Only D and E prove by that that nothing has started."""
    if held["cancel_requested_at"] or doubts.get(db, held) is not None:
        return False
    if member.generation not in generations.REDELIVERED:
        text = "the node is idle after the delivery: its reply was lost, or its container ended at once"
        transitions.apply(db, _task(db, held), Event.DELIVERY_DOUBTED, now=iso(now), message=text, ripples=ripples)
        return True
    if held["deliveries"] >= leases.MAX_DELIVERIES:
        text = f"delivered {leases.MAX_DELIVERIES} times, and the node is idle: is its network dropping replies?"
        transitions.apply(db, _task(db, held), Event.UNDELIVERABLE, now=iso(now), message=text, ripples=ripples)
        return True
    doubts.put(db, held, LOST, due=after(now, member.lease), weaker=LOST)
    return False


def polled(
    db: sqlite3.Connection, member: Member, holds: list[sqlite3.Row], now: datetime
) -> tuple[sqlite3.Row | None, Ripples]:
    """The node polls though it holds something, so it is idle; returns a delivery to repeat, and what has changed."""
    lease, ripples = after(now, member.lease), Ripples()
    doubts.extend(db, member.traits.node_id, lease=lease)
    for held in holds:
        if held["status"] != TaskStatus.ASSIGNED:
            due = after(now, leases.VERDICT_GRACE)
            doubts.put(db, held, Event.VERDICT_MISSING, due=due, weaker=LOST)
        elif held["cancel_requested_at"]:
            continue
        elif (doubt := doubts.get(db, held)) == LOST:
            doubts.drop(db, held["id"])
            again = claims.redeliver(db, held["id"], held["attempt"], lease=lease)
            if again is not None:
                return again, ripples.resolve(db)
        elif doubt is None:
            text = "the node polled again without a heartbeat since the delivery: what became of it is not known"
            transitions.apply(db, _task(db, held), Event.DELIVERY_DOUBTED, now=iso(now), message=text, ripples=ripples)
            ripples.changed.append(held["id"])
    return None, ripples.resolve(db)


def silence(row: sqlite3.Row) -> Event:
    """What the end of an old client's lease means; `row` has the node's `mode`."""
    unheard = row["status"] == TaskStatus.ASSIGNED and not row["acknowledged"] and row["mode"] == NodeMode.PULL
    return Event.DELIVERY_DOUBTED if unheard else Event.LEASE_EXPIRED


# rule 4: a runner that registers anew


def restarted(db: sqlite3.Connection, node: sqlite3.Row, *, wire: int, now: datetime, ripples: Ripples) -> None:
    """An old runner stores nothing: after a restart its tasks have 60 s for a verdict from the surviving container.

    A newer runner in its place would start what was only assigned, so that ends at once.
    """
    doubts.extend(db, node["id"], lease=after(now, leases.OLD_LEASE))
    for held in claims.held(db, node["id"]):
        if wire >= 2 and held["status"] == TaskStatus.ASSIGNED:
            event = Event.CANCEL_UNCONFIRMED if held["cancel_requested_at"] else Event.RUNNER_RESTARTED
            text = "another runner has taken the node's place"
            transitions.apply(db, _task(db, held), event, now=iso(now), message=text, ripples=ripples)
            ripples.changed.append(held["id"])
        else:
            due = after(now, leases.RESTART_GRACE)
            doubts.put(db, held, Event.RUNNER_RESTARTED, due=due, weaker=LOST)


def attempt_of_replaced_key(
    db: sqlite3.Connection, identity: Identity, task_id: str, said: int | None, now: datetime
) -> int | None:
    """The attempt that a node's older key may still report on: its own, until an hour after that has ended.

    None for a task that it never held. Raises Unauthenticated when the hour is over.
    """
    node_id = identity.node_id or ""
    last = doubts.last_before(db, task_id, node_id, doubts.replaced_at(db, node_id, identity.key_version))
    if last is None or (said is not None and (said > last or not claims.ever_held(db, task_id, said, node_id))):
        return None
    attempt = last if said is None else said
    ended, _ = doubts.end_of(db, task_id, attempt)
    if ended is not None and now > parse(ended) + timedelta(seconds=leases.REPLACED_KEY):
        raise Unauthenticated("this node has registered again since, and what its older key could report on is over")
    return attempt


# what time brings


def settle(db: sqlite3.Connection, *, now: datetime, limit: int, ripples: Ripples) -> list[str]:
    """Carry out the doubts whose time has come; returns the tasks that have changed."""
    texts = {
        Event.VERDICT_MISSING: f"the container ended, and no verdict came within {leases.VERDICT_GRACE:.0f} s",
        Event.RUNNER_RESTARTED: f"the runner started anew, and no verdict came within {leases.RESTART_GRACE:.0f} s",
        Event.LEASE_EXPIRED: "the reply to its poll was lost, and the node fell silent",
    }
    touched = []
    for row in doubts.due(db, now=iso(now), limit=limit):
        doubts.drop(db, row["doubted"])
        event = Event(row["event"])
        if row["id"] is None or (event is LOST and row["status"] != TaskStatus.ASSIGNED):
            continue
        if row["cancel_requested_at"]:
            event = Event.CANCEL_UNCONFIRMED
        elif event is Event.VERDICT_MISSING and row["status"] == TaskStatus.ASSIGNED:
            event = Event.DELIVERY_DOUBTED
        transitions.apply(db, row, event, now=iso(now), message=texts.get(event), ripples=ripples)
        touched.append(row["id"])
    return touched


def full_terms(db: sqlite3.Connection, members: list[Member], now: datetime) -> None:
    """The server was away: every doubt gets its time anew, and so do the leases of nodes that call seldom."""
    doubts.postpone(db, until=after(now, max(leases.VERDICT_GRACE, leases.RESTART_GRACE)))
    for member in members:
        if member.wire < 2 and member.lease > leases.OLD_LEASE:
            doubts.extend(db, member.traits.node_id, lease=after(now, member.lease))


# rules 6 and 9: the same thing told twice


def nothing_new(row: sqlite3.Row, body: StatusReport) -> bool:
    """Whether a report of progress says just what is known: it changes nothing then, not even the history."""
    told = (body.message, body.progress, body.crush_session_id)
    known = (row["message"], row["progress"], row["crush_session_id"])
    return bool(row["status"] == body.status) and all(
        new is None or new == old for new, old in zip(told, known, strict=True)
    )


def same_end(db: sqlite3.Connection, task_id: str, attempt: int, status: ReportStatus) -> bool:
    """Whether the attempt has ended just as the report says, and the task has gone on."""
    _, outcome = doubts.end_of(db, task_id, attempt)
    return bool(outcome == {ReportStatus.ERROR: Event.FAILED, ReportStatus.SUCCESS: TaskStatus.SUCCESS}.get(status))


def remember(db: sqlite3.Connection, member: Member, changes: dict[str, Any]) -> None:
    """Write down what was learnt of the node."""
    if changes:
        nodes.update(db, member.traits.node_id, changes)


def _task(db: sqlite3.Connection, held: sqlite3.Row) -> sqlite3.Row:
    row = tasks.get(db, held["id"])
    assert row is not None  # noqa: S101 - `held` was read in this transaction
    return row
