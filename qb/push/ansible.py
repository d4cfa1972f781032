"""Push over SSH: dispatch.yml through ansible-runner, on threads of its own, one play for all who ask at once.

A play ends with its slowest host, so who brings a task shares none with who only asks.
"""

import asyncio
import importlib.util
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from qb.contract.nodes import Held
from qb.contract.push import Activity, PushStatus
from qb.push.ansible_play import LAYOUT, Heard, Order, play, purge
from qb.push.transport import Begins, Outcome, PushNode, Sent

GATHER_SECONDS = 0.1
"""How long the first who asks waits for others, to share a play with them."""

PLAYS, BATCH = 3, 200
LOOKS = PLAYS - 1
"""How many plays may ping and ask: one is kept for tasks, however many dead nodes are looked for."""

NO_ANSIBLE = "ansible-runner is not installed with the control plane: pip install 'all-time-quarterback[ops]'"
GONE = "the task is not this node's any more"
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Asked:
    """An order, what is asked before it is carried out, and who waits for the answer."""

    order: Order
    begins: Begins | None
    answer: asyncio.Future[Heard]


@dataclass(slots=True)
class _Queue:
    """Who waits for plays of one kind; `room` bounds how many of them run at a time."""

    room: asyncio.Semaphore
    waiting: list[_Asked] = field(default_factory=list)


class AnsibleTransport:
    """Brings tasks to nodes without an open port. `folder` is private to it; at most PLAYS plays run at a time."""

    def __init__(self, folder: Path, playbook: Path, layout: Mapping[str, Any] = LAYOUT) -> None:
        self._folder = folder
        self._playbook = playbook
        self._layout = layout
        self._threads = ThreadPoolExecutor(PLAYS, thread_name_prefix="ansible")
        self._room = asyncio.Semaphore(PLAYS)
        self._stopped = threading.Event()
        self._runs = _Queue(asyncio.Semaphore(PLAYS))
        self._looks = _Queue(asyncio.Semaphore(LOOKS))
        self._tasks: set[asyncio.Task[None]] = set()
        purge(folder)

    async def close(self) -> None:
        """End the plays that run."""
        self._stopped.set()
        for task in list(self._tasks):
            task.cancel()
        try:
            await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        finally:
            purge(self._folder)

    async def send(self, node: PushNode, assignment: Mapping[str, Any], begins: Begins | None = None) -> Sent:
        """Place the assignment, and start `remote_runner run-once` with it."""
        if importlib.util.find_spec("ansible_runner") is None:
            return Sent(Outcome.REFUSED, NO_ANSIBLE)
        handed = json.dumps({"api_key": node.key, "assignment": dict(assignment)})
        run_id = f"{assignment['task_id']}-{assignment['attempt']}"
        heard = await self._ask(self._runs, Order(node, "run", run_id, handed), begins)
        if heard.done:
            return Sent(Outcome.STARTED)
        why = f"{node.endpoint}: {heard.failed or 'Ansible did not get so far in time'}"
        return Sent(Outcome.UNKNOWN if heard.begun else Outcome.REFUSED, why)

    async def status(self, node: PushNode) -> PushStatus | None:
        """What the runner's journal on the node holds."""
        heard = await self._ask(self._looks, Order(node, "status"))
        try:
            attempts = json.loads(heard.said)["attempts"]
            held = [Held(task_id=each["task_id"], attempt=each["attempt"]) for each in attempts]
        except (ValueError, KeyError, TypeError):
            return None
        return PushStatus(status=Activity.RUNNING if held else Activity.IDLE, running=held)

    async def healthy(self, node: PushNode) -> bool:
        """Whether Ansible reaches the node."""
        return (await self._ask(self._looks, Order(node, "ping"))).reached

    async def cancel(self, node: PushNode, task_id: str, attempt: int) -> bool:
        """Nothing to do: the runner, while it lives, hears of it in the reply to its next heartbeat."""
        return True

    async def _ask(self, queue: _Queue, order: Order, begins: Begins | None = None) -> Heard:
        if importlib.util.find_spec("ansible_runner") is None:
            return Heard(failed=NO_ANSIBLE)
        answer: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        queue.waiting.append(_Asked(order, begins, answer))
        if len(queue.waiting) == 1:
            self._gather_soon(queue)
        return await answer

    def _gather_soon(self, queue: _Queue) -> None:
        task = asyncio.create_task(self._gather(queue))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a play broke off", exc_info=error)

    async def _gather(self, queue: _Queue) -> None:
        """Take who waits, a node once in each play, until nobody does."""
        await asyncio.sleep(GATHER_SECONDS)
        async with queue.room, self._room:
            batch, queue.waiting = queue.waiting[:BATCH], queue.waiting[BATCH:]
            if queue.waiting:
                self._gather_soon(queue)
            await self._play(await _still_wanted(batch))

    async def _play(self, batch: Sequence[_Asked]) -> None:
        if not batch:
            return
        orders = [each.order for each in batch]
        loop = asyncio.get_running_loop()
        found = [Heard(begun=True, failed="the play broke off: the server's log says why") for _ in orders]
        try:
            found = await loop.run_in_executor(
                self._threads, play, self._folder, self._playbook, self._layout, orders, self._stopped.is_set
            )
        except asyncio.CancelledError:
            found = [Heard(failed="the server is stopping") for _ in orders]
            raise
        except OSError as error:
            found = [Heard(failed=f"Ansible cannot be run: {error}") for _ in orders]
        finally:
            for each, heard in zip(batch, found, strict=True):
                if not each.answer.done():
                    each.answer.set_result(heard)


async def _still_wanted(batch: Sequence[_Asked]) -> list[_Asked]:
    """Those who did not wait for too long; the others are answered."""

    async def begun(asked: _Asked) -> bool:
        return asked.begins is None or await asked.begins()

    wanted = []
    answers = await asyncio.gather(*map(begun, batch), return_exceptions=True)
    for each, answer in zip(batch, answers, strict=True):
        if answer is True:
            wanted.append(each)
        elif each.answer.done():
            continue
        elif isinstance(answer, BaseException):
            each.answer.set_exception(answer)
        else:
            each.answer.set_result(Heard(failed=GONE))
    return wanted
