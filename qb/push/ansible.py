"""Push over SSH: dispatch.yml through ansible-runner, on threads of its own, one play for all who ask at once."""

import asyncio
import importlib.util
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qb.contract.nodes import Held
from qb.contract.push import Activity, PushStatus
from qb.push.ansible_play import LAYOUT, Heard, Order, play, purge
from qb.push.transport import Outcome, PushNode, Sent

GATHER_SECONDS = 0.1
"""How long the first who asks waits for others, to share a play with them."""

PLAYS, BATCH = 3, 200
NO_ANSIBLE = "ansible-runner is not installed with the control plane: pip install 'all-time-quarterback[ops]'"


class AnsibleTransport:
    """Brings tasks to nodes without an open port. `folder` is private to it; at most PLAYS plays run at a time."""

    def __init__(self, folder: Path, playbook: Path, layout: Mapping[str, Any] = LAYOUT) -> None:
        self._folder = folder
        self._playbook = playbook
        self._layout = layout
        self._threads = ThreadPoolExecutor(PLAYS, thread_name_prefix="ansible")
        self._room = asyncio.Semaphore(PLAYS)
        self._stopped = threading.Event()
        self._waiting: list[tuple[Order, asyncio.Future[Heard]]] = []
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

    async def send(self, node: PushNode, assignment: Mapping[str, Any]) -> Sent:
        """Place the assignment, and start `remote_runner run-once` with it."""
        if importlib.util.find_spec("ansible_runner") is None:
            return Sent(Outcome.REFUSED, NO_ANSIBLE)
        handed = json.dumps({"api_key": node.key, "assignment": dict(assignment)})
        run_id = f"{assignment['task_id']}-{assignment['attempt']}"
        heard = await self._ask(Order(node, "run", run_id, handed))
        if heard.done:
            return Sent(Outcome.STARTED)
        why = f"{node.endpoint}: {heard.failed or 'Ansible did not get so far in time'}"
        return Sent(Outcome.UNKNOWN if heard.begun else Outcome.REFUSED, why)

    async def status(self, node: PushNode) -> PushStatus | None:
        """What the runner's journal on the node holds."""
        heard = await self._ask(Order(node, "status"))
        try:
            attempts = json.loads(heard.said)["attempts"]
            held = [Held(task_id=each["task_id"], attempt=each["attempt"]) for each in attempts]
        except (ValueError, KeyError, TypeError):
            return None
        return PushStatus(status=Activity.RUNNING if held else Activity.IDLE, running=held)

    async def healthy(self, node: PushNode) -> bool:
        """Whether Ansible reaches the node."""
        return (await self._ask(Order(node, "ping"))).reached

    async def cancel(self, node: PushNode, task_id: str, attempt: int) -> bool:
        """Nothing to do: the runner, while it lives, hears of it in the reply to its next heartbeat."""
        return True

    async def _ask(self, order: Order) -> Heard:
        if importlib.util.find_spec("ansible_runner") is None:
            return Heard(failed=NO_ANSIBLE)
        answer: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self._waiting.append((order, answer))
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._gather())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _gather(self) -> None:
        """Take who waits, a node once in each play, until nobody does."""
        await asyncio.sleep(GATHER_SECONDS)
        async with self._room:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if self._waiting:
                task = asyncio.create_task(self._gather())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            orders = [order for order, _ in batch]
            loop = asyncio.get_running_loop()
            found: list[Heard] = [Heard(failed="the server is stopping") for _ in orders]
            try:
                found = await loop.run_in_executor(
                    self._threads, play, self._folder, self._playbook, self._layout, orders, self._stopped.is_set
                )
            except OSError as error:
                found = [Heard(failed=f"Ansible cannot be run: {error}") for _ in orders]
            finally:
                for (_, answer), heard in zip(batch, found, strict=True):
                    if not answer.done():
                        answer.set_result(heard)
