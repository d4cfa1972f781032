"""How long to wait after a failure."""

import random
from collections.abc import Callable

FIRST = 0.25


class Backoff:
    """Seconds to wait before the next try: doubling to `cap`, jittered so that nodes don't march in step."""

    def __init__(self, cap: float, *, first: float = FIRST, chance: Callable[[], float] = random.random) -> None:
        self._cap = cap
        self._first = min(first, cap)
        self._chance = chance
        self._step = self._first

    def next(self) -> float:
        """The wait after one more failure: between half the step and the whole of it."""
        step, self._step = self._step, min(self._cap, self._step * 2)
        return step * (0.5 + self._chance() / 2)

    def reset(self) -> None:
        """Something worked: start from the shortest wait again."""
        self._step = self._first
