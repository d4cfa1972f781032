"""Gather one scrape of /metrics: what is counted in memory, and what the database and its files tell."""

from collections import Counter, defaultdict
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from qb.contract.routes import ROUTES
from qb.contract.states import LIVE
from qb.domain.lifecycle import Event
from qb.domain.times import parse
from qb.service.core import Core
from qb.service.metrics import Answered, Distribution
from qb.service.waiters import Waiters
from qb.store import figures
from qb.store.figures import Figures

EVENTS_AT_ONCE = 100_000
"""Events counted in one read: after a long time without a scrape there are many."""

_NAMES = {(route.method, route.path): route.name for route in ROUTES}


class Scraper:
    """Answers scrapes of one server. Events are counted from its start on."""

    def __init__(self, core: Core, waiters: Waiters, last_event: int) -> None:
        self._core = core
        self._waiters = waiters
        self._last_event = last_event
        self._events: Counter[str] = Counter()

    @classmethod
    async def open(cls, core: Core, waiters: Waiters) -> "Scraper":
        """Begin to count."""
        return cls(core, waiters, await core.readers.run(figures.last_event))

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """The metrics, and their content type, in the form that an Accept header asks for."""
        found = await self._core.readers.run(figures.look)
        await self._count_events()
        shown = self._core.metrics.shown
        shown.families = [*self._tasks(found), *self._nodes(found), *self._store(), *self._work()]
        encode, content_type = choose_encoder(accept)
        return encode(self._core.metrics.registry), content_type

    async def _count_events(self) -> None:
        newest = await self._core.readers.run(figures.last_event)
        while self._last_event < newest:
            after, upto = self._last_event, min(newest, self._last_event + EVENTS_AT_ONCE)
            found = await self._core.readers.run(lambda db, a=after, b=upto: figures.events(db, a, b))  # type: ignore[misc]
            if self._last_event != after:
                return  # another scrape has counted them meanwhile
            self._last_event = upto
            self._events.update(found)

    def _tasks(self, found: Figures) -> list[Metric]:
        queue = GaugeMetricFamily("qb_queue_tasks", "Pending tasks: claimable now, or waiting.", labels=["state"])
        queue.add_metric(["claimable"], found.claimable)
        queue.add_metric(["waiting"], found.waiting)
        age = 0.0 if found.oldest is None else (self._core.clock() - parse(found.oldest)).total_seconds()
        oldest = GaugeMetricFamily("qb_queue_oldest_seconds", "Age of the task pending longest.", max(0.0, age))
        live = GaugeMetricFamily("qb_live_tasks", "Tasks that a node holds.", labels=["status"])
        for status in sorted(LIVE):
            live.add_metric([status], found.live.get(status, 0))
        events = CounterMetricFamily("qb_task_events", "Events of tasks since the server started.", labels=["kind"])
        for kind, count in sorted(self._events.items()):
            events.add_metric([kind], count)
        lapsed = sum(self._events[kind] for kind in (Event.LEASE_EXPIRED, Event.UNACKNOWLEDGED))
        expiries = CounterMetricFamily("qb_lease_expiries", "Leases that ran out.", lapsed)
        return [queue, oldest, live, events, expiries]

    def _nodes(self, found: Figures) -> list[Metric]:
        nodes = GaugeMetricFamily(
            "qb_nodes", "Nodes by what they say and what was decided.", labels=["status", "state"]
        )
        for (status, state), count in sorted(found.nodes.items()):
            nodes.add_metric([status, state], count)
        pollers = GaugeMetricFamily("qb_pollers_waiting", "Long polls that wait for a task.", len(self._waiters))
        return [nodes, pollers]

    def _store(self) -> list[Metric]:
        path, writer = self._core.settings.database, self._core.writer
        sizes = HistogramMetricFamily("qb_writer_group_size", "Works that one commit made durable.")
        total, buckets = 0, []
        for power, count in enumerate(writer.sizes):
            total += count
            buckets.append((f"{2**power - 1:g}", float(total)))
        sizes.add_metric([], [*buckets, ("+Inf", float(total))], sum_value=writer.jobs)
        return [
            GaugeMetricFamily("qb_database_bytes", "Size of qb.db.", _size(path)),
            GaugeMetricFamily("qb_wal_bytes", "Size of qb.db's write-ahead log.", _size(Path(f"{path}-wal"))),
            GaugeMetricFamily("qb_writer_queue", "Works that wait for the writer.", writer.waiting),
            sizes,
        ]

    def _work(self) -> list[Metric]:
        metrics = self._core.metrics
        claims = HistogramMetricFamily("qb_claim_seconds", "Time that a claim took, until durable.")
        claims.add_metric([], metrics.claims.buckets(), sum_value=metrics.claims.total)
        requests = HistogramMetricFamily(
            "qb_request_seconds",
            "Time from a request's headers to its answer's first byte; a poll's waiting included.",
            labels=["route", "status"],
        )
        merged: defaultdict[tuple[str, str], Distribution] = defaultdict(Distribution)
        for key, times in metrics.requests.items():
            merged[_label(key)].add(times)
        for label, times in sorted(merged.items()):
            requests.add_metric(list(label), times.buckets(), sum_value=times.total)
        output = CounterMetricFamily("qb_output_bytes", "Bytes of output taken in.", metrics.output_bytes)
        return [claims, requests, output]


def _label(key: Answered) -> tuple[str, str]:
    method, template, status = key
    return _NAMES.get((method, template or ""), "other"), str(status)[:3]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
