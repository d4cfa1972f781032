"""What is on its way to the orchestrator: an ordered, bounded queue and the thread that empties it."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from qb.client.errors import BadAnswer, ClientError, Refused, Unreachable

QUEUE_LIMIT = 256
SEND_TIMEOUT = 10.0
LONGEST_PAUSE = 30.0
CLOSING_PAUSE = 0.25

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Send = Callable[[Item, float], Answer]
"""Sends one item within so many seconds. Raises ClientError and nothing else."""

_log = logging.getLogger("mcp_status")


class Outcome(StrEnum):
    """What became of an item when its caller was answered."""

    DELIVERED = "delivered"
    QUEUED = "queued"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Receipt(Generic[Answer]):
    """An outcome, with the orchestrator's answer or the reason why there is none."""

    outcome: Outcome
    answer: Answer | None = None
    problem: str | None = None
    status: int | None = None
    ours: bool = True
    """Whether a refusal has the shape of an orchestrator of ours, which names its reason by a code."""


@dataclass(slots=True)
class _Entry(Generic[Item, Answer]):
    item: Item
    receipt: "Future[Receipt[Answer]]" = field(default_factory=Future)

    def settle(self, receipt: Receipt[Answer]) -> None:
        """Tell whoever waits. The first word counts: a queued item's caller has long been answered."""
        if not self.receipt.done():
            self.receipt.set_result(receipt)


def jittered(tries: int) -> float:
    """Seconds until the next try: doubling, random, so that a fleet does not come back in step."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, 0.5 * 2.0 ** min(tries, 10))  # noqa: S311 - not a secret


class Delivery(Generic[Item, Answer]):
    """Delivers items in the order they came, trying each until it is taken or refused.

    `what` names an item for the log; of those that `may_drop` allows, the oldest makes room when the queue is full.
    Owns one thread, from `start` to `close`. `last` is the last answer, `trouble` why the item at the head has not
    got through (None while all is well).
    """

    def __init__(
        self,
        send: Send[Item, Answer],
        *,
        what: Callable[[Item], str] = str,
        may_drop: Callable[[Item], bool] = lambda _: True,
        limit: int = QUEUE_LIMIT,
        send_timeout: float = SEND_TIMEOUT,
        pause: Callable[[int], float] = jittered,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.last: Answer | None = None
        self.trouble: str | None = None
        self._what = what
        self._may_drop = may_drop
        self._send_timeout = send_timeout
        self._send = send
        self._limit = limit
        self._pause = pause
        self._clock = clock
        self._queue: deque[_Entry[Item, Answer]] = deque()
        self._changed = threading.Condition()
        self._ends_at: float | None = None
        # a daemon: a name lookup that hangs must not hold the process beyond the flush
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items have not been taken yet."""
        return len(self._queue)

    def offer(self, item: Item) -> "Future[Receipt[Answer]]":
        """Queue an item. The receipt comes with the orchestrator's answer, or `queued` at the first failure."""
        entry: _Entry[Item, Answer] = _Entry(item)
        entry.receipt.set_running_or_notify_cancel()
        with self._changed:
            if len(self._queue) >= self._limit and not self._make_room():
                problem = f"{self._limit} others wait already, and none may be dropped"
                entry.settle(Receipt(Outcome.REFUSED, problem=problem))
                return entry.receipt
            self._queue.append(entry)
            if self.trouble:
                entry.settle(Receipt(Outcome.QUEUED, problem=self.trouble))
            self._changed.notify_all()
        return entry.receipt

    def hurry(self, timeout: float) -> None:
        """Deliver what waits without long pauses, and end within `timeout` seconds."""
        with self._changed:
            self._ends_at = self._clock() + timeout
            self._changed.notify_all()

    def close(self, timeout: float) -> int:
        """Deliver what waits, for at most `timeout` seconds; returns how many items were left behind."""
        self.hurry(timeout)
        return self.join()

    def join(self) -> int:
        """Wait until the time that `hurry` set is over or nothing waits; returns how many items are left."""
        ends_at = self._ends_at
        self._thread.join(None if ends_at is None else max(0.0, ends_at - self._clock()))
        return len(self._queue)

    def _make_room(self) -> bool:
        """Drop the oldest that may be dropped, but never the head, which is on its way."""
        for index, entry in enumerate(self._queue):
            if index and self._may_drop(entry.item):
                del self._queue[index]
                _log.warning("%d wait already: dropped %s", self._limit, self._what(entry.item))
                entry.settle(Receipt(Outcome.REFUSED, problem="newer ones took its place in the queue"))
                return True
        return False

    def _run(self) -> None:
        while (entry := self._head()) is not None:
            receipt = self._deliver(entry)
            if receipt is None:
                return
            with self._changed:
                self._queue.popleft()
            entry.settle(receipt)

    def _head(self) -> _Entry[Item, Answer] | None:
        with self._changed:
            while not self._queue:
                if self._ends_at is not None:
                    return None
                self._changed.wait()
            return self._queue[0]

    def _deliver(self, entry: _Entry[Item, Answer]) -> Receipt[Answer] | None:
        """Try until the item is taken or refused; None when the time to flush is over."""
        tries = 0
        while (seconds := self._seconds_to_try()) > 0:
            try:
                self.last = self._send(entry.item, seconds)
            except ClientError as error:
                if _final(error):
                    return self._refused(entry, error)
                self._failed(entry, error, tries)
            else:
                self.trouble = None
                return Receipt(Outcome.DELIVERED, self.last)
            tries += 1
        return None

    def _seconds_to_try(self) -> float:
        with self._changed:
            left = self._send_timeout if self._ends_at is None else self._ends_at - self._clock()
        return min(self._send_timeout, left)

    def _refused(self, entry: _Entry[Item, Answer], error: ClientError) -> Receipt[Answer]:
        _log.error("%s is given up: %s", self._what(entry.item), error)
        self.trouble = None
        if isinstance(error, Refused):
            return Receipt(Outcome.REFUSED, None, str(error), error.status, error.code is not None)
        return Receipt(Outcome.REFUSED, problem=str(error))

    def _failed(self, entry: _Entry[Item, Answer], error: ClientError, tries: int) -> None:
        if tries == 0:
            _log.warning("%s is not delivered yet, trying again: %s", self._what(entry.item), error)
        pause = self._pause(tries)
        if isinstance(error, Refused) and error.retry_after:
            pause = max(pause, min(error.retry_after, LONGEST_PAUSE))
        with self._changed:
            self.trouble = str(error)
            for queued in self._queue:
                queued.settle(Receipt(Outcome.QUEUED, problem=self.trouble))
            self._wait(pause)

    def _wait(self, pause: float) -> None:
        """Pause, but for no longer than CLOSING_PAUSE once the process is about to end."""
        until = self._clock() + pause
        while (left := until - self._clock()) > 0:
            if self._ends_at is not None:
                self._changed.wait(min(left, CLOSING_PAUSE))
                return
            self._changed.wait(left)


def _final(error: ClientError) -> bool:
    """Whether the same item would only meet the same answer."""
    if isinstance(error, Refused):
        return not error.transient
    return not isinstance(error, (Unreachable, BadAnswer))
