"""Heartbeats: a node says that it lives and what it holds, and hears what it shall end: at once if it waits for it."""

import asyncio
import sqlite3
from contextlib import suppress
from datetime import datetime
from typing import Any

from qb.contract.nodes import Heartbeat
from qb.contract.states import NodeState, NodeStatus
from qb.contract.tasks import MAX_POLL_WAIT
from qb.domain.errors import Unauthenticated
from qb.domain.times import after, iso
from qb.service import legacy
from qb.service.adoption import adopt, adopt_unnumbered
from qb.service.core import Core
from qb.service.registry import Member, Orders, Registry
from qb.service.ripples import Ripples
from qb.service.waiters import Waiters
from qb.store import claims, nodes


class Heartbeats:
    """Takes heartbeats in."""

    def __init__(self, core: Core, registry: Registry, waiters: Waiters) -> None:
        self._core = core
        self._registry = registry
        self._waiters = waiters

    async def take(self, node_id: str, body: Heartbeat) -> dict[str, Any]:
        """Note that the node lives, renew what it holds, and say what it shall cancel; returns HeartbeatReply.

        With `wait` a wire-2 node has its reply once there are orders that it has not heard, or once it has been given
        an attempt that it does not list, which it could not be told to cancel; else after that time.
        """
        member = self._registry.members.get(node_id)
        if member is None:
            raise Unauthenticated("this node is not registered: register it again")
        if body.wait and member.wire >= 2:
            return await self._held_back(member, body, min(body.wait, MAX_POLL_WAIT))
        reply = await self._taken(member, body)
        if member.wire >= 2:
            member.heard = _orders(reply)
        return reply

    async def _held_back(self, member: Member, body: Heartbeat, wait: float) -> dict[str, Any]:
        """The reply, as soon as it says something new; a newer one that waits, or the node's end, ends it."""
        node_id, hub, loop = member.traits.node_id, self._core.hub, asyncio.get_running_loop()
        member.waits += 1
        mine, give_up = member.waits, loop.time() + wait
        hub.publish(node_id)
        news = hub.subscribe(node_id)
        try:
            reply = await self._taken(member, body)
            while not _news(reply, member.heard) and member.waits == mine and not self._core.stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(give_up):
                        await news.wait()
                if not news.is_set() or self._registry.members.get(node_id) is not member:
                    break
                news.clear()
                orders, unlisted = await self._core.readers.run(lambda db: _looked(db, node_id, body))
                reply |= orders
                if unlisted:
                    break
            if member.waits == mine:
                member.heard = _orders(reply)
            return reply
        finally:
            hub.unsubscribe(node_id, news)

    async def _taken(self, member: Member, body: Heartbeat) -> dict[str, Any]:
        now = self._core.clock()
        member.seen(now)
        learnt = legacy.heard_heartbeat(member, body, now) if member.wire < 2 else {}
        reply, ripples = await self._core.writer.run(lambda db: self._heartbeat(db, member, body, learnt, now))
        member.written(now)
        if ripples is not None:
            ripples.tell(self._core.hub, self._waiters)
        return reply

    def _heartbeat(
        self, db: sqlite3.Connection, member: Member, body: Heartbeat, learnt: dict[str, Any], now: datetime
    ) -> tuple[dict[str, Any], Ripples | None]:
        node_id = member.traits.node_id
        if learnt:
            legacy.remember(db, member, learnt)
        told = body.running or []
        adopted = [
            each.task_id
            for each in told
            if adopt(db, member, each.task_id, each.attempt, floor=self._registry.floor, now=now)
        ]
        current = body.current_task_id
        if member.wire < 2 and current is not None and body.status is NodeStatus.BUSY:
            found = adopt_unnumbered(db, member, current, floor=self._registry.floor, now=now)
            adopted += [] if found is None else [current]
        holds = claims.held(db, node_id)
        status, current = (body.status, current) if member.wire < 2 else _shown(holds, body)
        row = nodes.heartbeat(
            db,
            node_id,
            status=status,
            task_id=current,
            load=body.load,
            disk_free=body.disk_free,
            now=iso(now),
        )
        if row is None:
            raise Unauthenticated("this node is not registered any more: register it again")
        reply = nodes.public(row)
        reply["drain"] = row["state"] != NodeState.ACTIVE
        reply["lease_seconds"] = int(member.lease)
        if member.wire < 2:
            ripples = legacy.heartbeat(db, member, holds, body, now)
            ripples.changed += adopted
            return reply, ripples
        reply["cancel"] = _renewed(db, member, holds, body, now) if told else []
        return reply, Ripples(changed=adopted) if adopted else None


def _shown(holds: list[sqlite3.Row], body: Heartbeat) -> tuple[NodeStatus, str | None]:
    """The status and the task that people see: a node lists what it ran until it has heard that its report is taken."""
    if not body.running:
        return body.status, body.current_task_id
    live = {(row["id"], row["attempt"]) for row in holds}
    listed = [each.task_id for each in body.running if (each.task_id, each.attempt) in live]
    if listed:
        return body.status, body.current_task_id if body.current_task_id in listed else listed[0]
    return NodeStatus.IDLE if body.status is NodeStatus.BUSY else body.status, None


def _news(reply: dict[str, Any], heard: Orders) -> bool:
    """Whether the reply orders what the node has not heard; that an older order is done is no news."""
    (cancel, drain), (cancelled, drained) = _orders(reply), heard
    return drain != drained or not cancel <= cancelled


def _orders(reply: dict[str, Any]) -> Orders:
    return frozenset((each["task_id"], each["attempt"]) for each in reply["cancel"]), reply["drain"]


def _looked(db: sqlite3.Connection, node_id: str, body: Heartbeat) -> tuple[dict[str, Any], bool]:
    """The orders in a reply as they are now ({} for a node that is gone), and whether it holds what it did not list."""
    row = nodes.by_id(db, node_id)
    if row is None:
        return {}, False
    holds = claims.held(db, node_id)
    listed = {(each.task_id, each.attempt) for each in body.running or ()}
    orders = {"drain": row["state"] != NodeState.ACTIVE, "state": row["state"], "cancel": _to_end(holds, body)}
    return orders, any((held["id"], held["attempt"]) not in listed for held in holds)


def _renewed(
    db: sqlite3.Connection, member: Member, holds: list[sqlite3.Row], body: Heartbeat, now: datetime
) -> list[dict[str, Any]]:
    """Renew the attempts that the node lists; returns those that it shall end."""
    ours = {(row["id"], row["attempt"]) for row in holds}
    for each in body.running or ():
        if (each.task_id, each.attempt) in ours:
            claims.renew(db, each.task_id, each.attempt, lease=after(now, member.lease))
    return _to_end(holds, body)


def _to_end(holds: list[sqlite3.Row], body: Heartbeat) -> list[dict[str, Any]]:
    """What the node lists and shall end: what is cancelled, and what it does not hold any more."""
    go_on = {(row["id"], row["attempt"]) for row in holds if not row["cancel_requested_at"]}
    return [
        {"task_id": each.task_id, "attempt": each.attempt}
        for each in body.running or ()
        if (each.task_id, each.attempt) not in go_on
    ]
