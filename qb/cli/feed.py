"""What happens on the orchestrator as it happens: a stream read by a thread, resumed when it breaks."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from qb.client import ClientError, Refused, Unreachable

OUTAGE = 300.0
"""Seconds without an answer after which following is given up."""

_PAUSE = 1.0
_BOUND = 1000
_TICK = 0.2


class Numbered(Protocol):
    """An entry of a stream that can be resumed after its `id`."""

    id: int


N = TypeVar("N", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream broke and is being resumed."""

    error: ClientError


class Feed(Generic[N]):
    """Reads `source(after)` to its end, again from the last entry when the orchestrator is away.

    Iterating yields entries, Lost (once per outage), and None at least every `_TICK` seconds so that the reader
    of the feed can look at the clock. Raises the ClientError that ended the stream. The thread ends with the stream, or
    soon after `close()`: at the latest when its read times out (45 s).
    """

    def __init__(
        self,
        source: Callable[[int], Iterator[N]],
        *,
        outage: float = OUTAGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._outage = outage
        self._clock = clock
        self._entries: queue.Queue[N | Lost | ClientError | None] = queue.Queue(_BOUND)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="qb-feed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the thread go."""
        self._closed.set()

    def __iter__(self) -> Iterator[N | Lost | None]:
        while True:
            try:
                entry = self._entries.get(timeout=_TICK)
            except queue.Empty:
                yield None
                continue
            if entry is None:
                return
            if isinstance(entry, ClientError):
                raise entry
            yield entry

    def _read(self) -> None:
        """Whatever happens, who reads the feed hears of its end."""
        end: ClientError | None = ClientError("the stream broke off for a reason that is none of the orchestrator's")
        try:
            end = self._follow()
        finally:
            self._put(end)

    def _follow(self) -> ClientError | None:
        """What ended the stream; None for its own end."""
        after = 0
        lost_at: float | None = None
        while not self._closed.is_set():
            try:
                for entry in self._source(after):
                    after, lost_at = entry.id, None
                    self._put(entry)
                    if self._closed.is_set():
                        return None
                return None
            except ClientError as error:
                now = self._clock()
                first = lost_at is None
                lost_at = now if lost_at is None else lost_at
                if not passing(error) or now - lost_at >= self._outage:
                    return error
                if first:
                    self._put(Lost(error))
                self._closed.wait(_PAUSE)
        return None

    def _put(self, entry: N | Lost | ClientError | None) -> None:
        while not self._closed.is_set():
            try:
                self._entries.put(entry, timeout=_TICK)
                return
            except queue.Full:
                continue


def passing(error: ClientError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.transient)
