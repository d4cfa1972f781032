"""What the server counts of itself while it works: plain numbers in memory, made into Prometheus' form when asked.

Everything here is touched on the event loop only, and belongs to one Core: nothing is global.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)

MOST_KEYS = 2_000


class Distribution:
    """How often a value fell into which bucket; half a microsecond an observation."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def add(self, other: "Distribution") -> None:
        """Count what `other` has counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as a Prometheus histogram has them."""
        bounds = [*(f"{bound:g}" for bound in SECONDS), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self.counts)), strict=True))


Answered = tuple[str, str | None, int | str]
"""Method, the path's template (None: no such path) and status of an answer."""


@dataclass(slots=True)
class Metrics:
    """The counters of one server, and the registry through which they are shown."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: dict[Answered, Distribution] = field(default_factory=dict)
    claims: Distribution = field(default_factory=Distribution)
    output_bytes: int = 0
    shown: "_Shown" = field(init=False)

    def __post_init__(self) -> None:
        self.shown = _Shown()
        self.registry.register(self.shown)
        ProcessCollector(registry=self.registry)

    def answered(self, method: str, template: str | None, status: int | str, seconds: float) -> None:
        """Count one answer; on the path of each request."""
        key = (method, template, status)
        found = self.requests.get(key)
        if found is None:
            found = self._new(key)
        found.observe(seconds)

    def _new(self, key: Answered) -> Distribution:
        if len(self.requests) >= MOST_KEYS:
            key = ("", None, key[2])  # methods are the client's to invent
        return self.requests.setdefault(key, Distribution())


class _Shown(Collector):
    """Gives the registry what was gathered for this scrape."""

    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.families
