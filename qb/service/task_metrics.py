"""Figures that an agent logs about its task."""

import sqlite3
from typing import Any

from qb.contract.task_metrics import MOST_NAMES, MOST_POINTS, MetricLog
from qb.domain.errors import Conflict, NotFound
from qb.domain.times import iso
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.questions import current_attempt
from qb.store import task_metrics, tasks


class TaskMetrics:
    """Use cases about the metrics of tasks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def log(self, identity: Identity, task_id: str, body: MetricLog) -> dict[str, Any]:
        """Add a point; returns the metric as TaskMetric. The same `seq` of an attempt changes nothing.

        Raises NotFound for a foreign task, StaleAttempt, AlreadyEnded, and Conflict past the bounds.
        """
        now = iso(self._core.clock())

        def work(db: sqlite3.Connection) -> dict[str, Any]:
            attempt = current_attempt(db, identity, task_id, body.attempt, self._core)
            _check_room(db, task_id, body.name)
            point = {"task_id": task_id, "name": body.name, "attempt": attempt, "seq": body.seq}
            task_metrics.add(db, point | {"value": body.value, "at": now})
            return task_metrics.summaries(db, task_id, body.name)[0]

        metric = await self._core.writer.run(work)
        self._core.hub.publish(task_id)
        return metric

    async def of_task(self, task_id: str) -> list[dict[str, Any]]:
        """The task's metrics by name. Raises NotFound."""

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            if tasks.get(db, task_id) is None:
                raise NotFound(f"no task {task_id}")
            return task_metrics.summaries(db, task_id)

        return await self._core.readers.run(read)


def _check_room(db: sqlite3.Connection, task_id: str, name: str) -> None:
    points, names, known = task_metrics.counts(db, task_id, name)
    if not known and names >= MOST_NAMES:
        raise Conflict(f"task {task_id} has {names} metrics: log to one of them, no task may have more")
    if points >= MOST_POINTS:
        raise Conflict(f"task {task_id} has logged {points} points: no task may log more, so log less often")
