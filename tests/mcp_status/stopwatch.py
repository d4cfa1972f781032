"""Time as the process was given it: a machine that stalls, stalls the watch, too."""

import threading
from types import TracebackType
from typing import Self

TICK = 0.01
"""Seconds."""


class Stopwatch:
    """Counts naps. On a quiet machine these are seconds; on a busy one each nap is late as what is measured is."""

    def __init__(self) -> None:
        self._naps = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return self._naps * TICK

    def _count(self) -> None:
        while not self._over.wait(TICK):
            self._naps += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
