"""Asks the operator, and waits for the answer by polling: nothing needs to reach into the container."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import anyio
from anyio import to_thread

from mcp_status.reporter import Reporter
from qb.client.errors import ClientError, Refused
from qb.contract.questions import Question, QuestionAsk

PATIENCE = 50.0
"""Seconds that one call waits: most MCP clients give a tool up after a minute."""

POLL_SECONDS = 2.0
CALL_SECONDS = 10.0
MOST_PENDING = 32
T = TypeVar("T")


@dataclass(slots=True)
class Pending:
    """A question whose answer the agent has not been given yet. `until` (monotonic) is when its time is over."""

    body: QuestionAsk
    until: float
    asked: Question | None = None


class Asking:
    """The questions of one process. The same words again are the same question, until its answer was given."""

    def __init__(
        self, reporter: Reporter, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reporter = reporter
        self._patience = patience
        self._clock = clock
        self._pending: dict[str, Pending] = {}

    async def ask(self, question: str, options: list[str], seconds: int) -> Pending:
        """The question as it stands: answered, still open, or past its time. Raises ClientError if it was not asked."""
        pending = self._pending.get(question)
        if pending is None:
            body = QuestionAsk(question=question, options=options, timeout_seconds=seconds, key=uuid4().hex)
            pending = self._remember(Pending(body, self._clock() + seconds))
        try:
            await self._wait(pending)
        except Refused:
            self._pending.pop(question, None)
            raise
        if pending.asked is None or not pending.asked.open or self._clock() >= pending.until:
            self._pending.pop(question, None)
        return pending

    def left(self, pending: Pending) -> int:
        """Seconds that it still waits."""
        return max(0, int(pending.until - self._clock()))

    def _remember(self, pending: Pending) -> Pending:
        if len(self._pending) >= MOST_PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[pending.body.question] = pending
        return pending

    async def _wait(self, pending: Pending) -> None:
        until = min(self._clock() + self._patience, pending.until)
        while True:
            try:
                pending.asked = await to_thread.run_sync(self._look, pending, abandon_on_cancel=True)
            except Refused as error:
                if not error.transient:
                    raise
            except ClientError:
                # not reached: the same question is asked again, under the same key
                if self._clock() >= until and pending.asked is None:
                    raise
            asked = pending.asked
            left = until - self._clock()
            if left <= 0 or (asked is not None and (not asked.open or asked.cancel_requested)):
                return
            await anyio.sleep(min(POLL_SECONDS, left))

    def _look(self, pending: Pending) -> Question:
        dialogue, task_id = self._reporter.client.dialogue, self._reporter.settings.task_id
        if pending.asked is None:
            return dialogue.ask(task_id, pending.body, timeout=CALL_SECONDS)
        return dialogue.question(task_id, pending.asked.id, timeout=CALL_SECONDS)
