"""One push node's courier: takes tasks for it from the queue, brings them, and looks after what it holds."""

import asyncio
import random
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog

from qb.contract.nodes import Held
from qb.contract.push import Activity, PushStatus
from qb.contract.states import TaskStatus
from qb.domain.pushing import PING_SECONDS, PROBE_SECONDS, WATCH_SECONDS
from qb.push.deliveries import Deliveries
from qb.push.transport import Outcome, PushNode, Transport
from qb.service.core import Core
from qb.service.dispatch import Dispatch
from qb.service.registry import Member, Registry
from qb.service.waiters import Waiter, Waiters

TICK = 1.0
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 60.0
log = structlog.get_logger(__name__)


class Courier:
    """Serves one node, round by round. `member` is the node as it registered last."""

    def __init__(
        self, core: Core, registry: Registry, dispatch: Dispatch, waiters: Waiters, transport: Transport, member: Member
    ) -> None:
        self._core = core
        self._registry = registry
        self._dispatch = dispatch
        self._waiters = waiters
        self._transport = transport
        self._deliveries = Deliveries(core, waiters)
        self.member = member
        self._changed = asyncio.Event()
        self._watched: set[str] = set()
        self._unknown: set[tuple[str, int]] = set()
        self._cancelled: set[tuple[str, int]] = set()
        self._doubt = True
        self._why = ""
        self._step = FIRST_BACKOFF
        self._not_before = 0.0
        self._probed: datetime | None = None

    def close(self) -> None:
        """Listen to no task any more."""
        self._watch(())

    async def round(self) -> None:
        """Do what there is to do now, then wait until something changes, a second at most when the clock may tell."""
        self._meet()
        node = self._node()
        absent = self.member.offline and self.member.wire >= 2 and self.member.variables is None
        if node is None or absent or not (self._may_try() or self._watched):
            await self._rest()
            return
        self._changed.clear()
        active, holds = await self._deliveries.held(node.id)
        self._watch(row["id"] for row in holds)
        await self._tend(node, holds)
        free = active and len(holds) < self.member.slots and not self._unknown
        if not active and not holds and node.by_ansible and self._may_try() and self._due(PING_SECONDS):
            await self._probe(node)  # it gets no tasks, and shall not fall silent for that
        if not free or not await self._ready(node):
            await self._rest()
            return
        await self._bring(node)

    async def _bring(self, node: PushNode) -> None:
        """Reserve a task, waiting for one like a long poll does, and send it."""
        waiter = self._waiters.open(self.member.traits)
        try:
            before = await self._before(node)
            assignment = None if before is None else await self._dispatch.reserve(node.id)
            if before is not None and assignment is None:
                await self._wait(waiter)
                return
        finally:
            self._waiters.close(waiter)
        if before is None or assignment is None:
            self._back_off("it does not say that it is free")
            return
        if node.by_ansible:  # it takes Ansible seconds, and nobody else shall have the task meanwhile
            await self._deliveries.acknowledged(self.member, assignment["task_id"], assignment["attempt"])
        if node.old:
            await self._deliveries.about_to_send(assignment["task_id"], assignment["attempt"], before)
        await self._send(node, assignment)

    async def _send(self, node: PushNode, assignment: dict[str, Any]) -> None:
        task_id, attempt = assignment["task_id"], assignment["attempt"]
        self._core.hub.publish(task_id)
        sent = await self._transport.send(
            node, assignment, lambda: self._deliveries.begins(self.member, task_id, attempt)
        )
        self._unknown.discard((task_id, attempt))
        if sent.outcome is Outcome.STARTED:
            self._step = FIRST_BACKOFF
            await self._deliveries.started(self.member, task_id, attempt, sent)
            return
        log.warning("a push did not succeed", node=node.name, task=task_id, outcome=sent.outcome, why=sent.why)
        if sent.outcome is Outcome.REJECTED:
            await self._deliveries.rejected(self.member, task_id, attempt, sent)
            return
        self._back_off(sent.why)
        if sent.outcome is Outcome.REFUSED:
            await self._deliveries.refused(self.member, task_id, attempt, sent)
        elif not node.old:
            self._unknown.add((task_id, attempt))

    async def _tend(self, node: PushNode, holds: list[sqlite3.Row]) -> None:
        """Look after what the node holds: an older one is asked how it is, ours hears of cancellations."""
        if node.old:
            if holds and self._due(WATCH_SECONDS):
                await self._look_at(node, holds)
            return
        held = {(row["id"], row["attempt"]): row for row in holds}
        self._unknown &= {key for key, row in held.items() if row["status"] == TaskStatus.ASSIGNED}
        self._cancelled &= held.keys()
        for key, row in held.items():
            if row["cancel_requested_at"] and key not in self._cancelled and await self._transport.cancel(node, *key):
                self._cancelled.add(key)
        if self._unknown and self._may_try():
            await self._ask_again(node)

    async def _look_at(self, node: PushNode, holds: list[sqlite3.Row]) -> None:
        status = await self._transport.status(node)
        if status is None:
            return  # its lease goes on running out
        self.member.seen(self._core.clock())
        for row in holds:
            await self._deliveries.seen(self.member, row["id"], row["attempt"], status)

    async def _ask_again(self, node: PushNode) -> None:
        """Nobody knows whether a push arrived: what the node lists has, what it does not list is sent again."""
        status = await self._transport.status(node)
        if status is None or status.running is None:
            self._back_off("it does not say what it holds")
            return
        listed = {(held.task_id, held.attempt) for held in status.running}
        for key in self._unknown & listed:
            await self._deliveries.acknowledged(self.member, *key)
        self._unknown -= listed
        if self._unknown:
            sent_before = [Held(task_id=task_id, attempt=attempt) for task_id, attempt in await self._others(node)]
            again = await self._dispatch.reserve(node.id, held=sent_before)
            self._unknown.clear()
            if again is not None:
                await self._send(node, again)

    async def _others(self, node: PushNode) -> set[tuple[str, int]]:
        """What the node holds beyond doubt."""
        _, holds = await self._deliveries.held(node.id)
        return {(row["id"], row["attempt"]) for row in holds} - self._unknown

    async def _before(self, node: PushNode) -> PushStatus | None:
        """What an older node does before it gets a task; None when it is busy or does not say."""
        if not node.old:
            return PushStatus(status=Activity.IDLE)
        status = await self._transport.status(node)
        return None if status is None or status.status is Activity.RUNNING else status

    async def _ready(self, node: PushNode) -> bool:
        """Whether the node can be expected to take a task; after a failure it is asked first."""
        if not self._may_try():
            return False
        if node.old:
            return not self._due(PROBE_SECONDS) or await self._probe(node)
        if self._doubt:
            status = await self._transport.status(node)
            if status is None or len(status.running or ()) >= self.member.slots:
                self._back_off("it gives no status, or is full")
                return False
            self._doubt, self._why = False, ""
            self.member.seen(self._core.clock())
        if node.by_ansible:
            return not self._due(PING_SECONDS) or await self._probe(node)
        return True

    async def _probe(self, node: PushNode) -> bool:
        """Whether it is there: an older node never speaks by itself, and one of Ansible's only with a task."""
        if not await self._transport.healthy(node):
            self._back_off("it does not answer")
            self._probed = None
            return False
        self.member.seen(self._core.clock())
        if node.by_ansible:
            await self._deliveries.rests(node.id)
        return True

    async def _wait(self, waiter: Waiter) -> None:
        """Until a matching task commits, or something changes, or an older node has to be asked again."""
        async with asyncio.TaskGroup() as group:
            woken = group.create_task(waiter.wait())
            changed = group.create_task(self._changed.wait())
            done: set[asyncio.Task[Any]] = set()
            while not (done or self._core.stopping.is_set() or self._outdated()):
                done, _ = await asyncio.wait((woken, changed), timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            changed.cancel()

    def _outdated(self) -> bool:
        """Whether this is no node to wait for any more as it is."""
        now = self._registry.members.get(self.member.traits.node_id)
        if now is not self.member or now.offline:
            return True
        if self.member.variables is not None:
            return self._due(PING_SECONDS, look=True)
        return self.member.wire < 2 and self._due(PROBE_SECONDS, look=True)

    def _meet(self) -> None:
        """Take the node as it is now; one that has registered anew starts with a clean slate."""
        now = self._registry.members.get(self.member.traits.node_id)
        if now is not None and now is not self.member:
            known = now.variables is not None and now.variables == self.member.variables
            self.member = now
            if known:
                return  # what Ansible starts there registers with every task
            self._doubt, self._step, self._not_before, self._probed = True, FIRST_BACKOFF, 0.0, None

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK):
                await self._changed.wait()

    def _watch(self, task_ids: Iterable[str]) -> None:
        """Hear of every change to these tasks: a slot may be free, or the operator wants one cancelled."""
        now = set(task_ids)
        for task_id in now - self._watched:
            self._core.hub.subscribe(task_id, self._changed)
        for task_id in self._watched - now:
            self._core.hub.unsubscribe(task_id, self._changed)
        self._watched = now

    def _due(self, seconds: float, *, look: bool = False) -> bool:
        """Whether so long has passed since an older node was asked; it counts as asked now unless only `look`ed."""
        now = self._core.clock()
        due = self._probed is None or (now - self._probed).total_seconds() >= seconds
        if due and not look:
            self._probed = now
        return due

    def _may_try(self) -> bool:
        return asyncio.get_running_loop().time() >= self._not_before

    def _back_off(self, why: str) -> None:
        if why != self._why:
            log.warning("a push node is in doubt", node=self.member.traits.name, why=why)
        self._doubt, self._why = True, why
        wait = self._step * (0.5 + random.random() / 2)  # noqa: S311  jitter, no secret
        self._not_before = asyncio.get_running_loop().time() + wait
        self._step = min(LONGEST_BACKOFF, self._step * 2)

    def _node(self) -> PushNode | None:
        member = self.member
        key = self._core.credentials.current_key(member.traits.node_id)
        if member.endpoint is None or key is None:
            return None
        return PushNode(member.traits.node_id, member.traits.name, member.endpoint, key, member.wire, member.variables)
