"""What `qb task show` says of a task beside its own fields: the question that waits, and metrics."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qb.client import QbClient
    from qb.contract.questions import Question
    from qb.contract.task_metrics import TaskMetric
    from qb.contract.tasks import Task

_SHOWN = 20
"""Metrics on the sheet at most; `-o json` of the API has all."""


def dialogue_sheet(client: "QbClient", task: "Task") -> dict[str, object]:
    """Rows for the sheet; none of an orchestrator that is too old to know of them."""
    from qb.client import Refused

    try:
        asked = client.dialogue.questions(task.id) if waits(task, datetime.now(UTC)) else []
        metrics = client.dialogue.metrics(task.id)
    except Refused as error:
        if error.status in (404, 405):
            return {}
        raise
    return _asked([each for each in asked if each.open], task.id) | _logged(metrics)


def waits(task: "Task", now: datetime) -> bool:
    """Whether the agent waits for an operator's answer."""
    return task.waiting_until is not None and datetime.fromisoformat(task.waiting_until) > now


def _asked(waiting: "list[Question]", task_id: str) -> dict[str, object]:
    if not waiting:
        return {}
    first = waiting[0]
    options = f" ({' / '.join(first.options)})" if first.options else ""
    more = f", and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return {
        "Question": f"{first.question}{options}{more}",
        "Waits until": first.expires_at,
        "To answer": f"qb task answer {task_id[:8]} TEXT",
    }


def _logged(metrics: "list[TaskMetric]") -> dict[str, object]:
    rows: dict[str, object] = {f"Metric {each.name}": _metric(each) for each in metrics[:_SHOWN]}
    if len(metrics) > _SHOWN:
        rows["Metrics"] = f"{len(metrics) - _SHOWN} more"
    return rows


def _metric(metric: "TaskMetric") -> str:
    if metric.count == 1:
        return f"{metric.value:g}"
    return f"{metric.value:g} ({metric.count} points, {metric.least:g} to {metric.most:g})"
