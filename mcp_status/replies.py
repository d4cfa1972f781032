"""What the tools answer: facts in fields, and one sentence that the model can act on."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from mcp_status.delivery import Outcome, Receipt
from mcp_status.settings import Unconfigured
from qb.contract.states import ReportStatus, TaskStatus
from qb.contract.tasks import Task

SOON = 120
"""Seconds before the deadline from which the agent is told to come to an end."""


class _Known(BaseModel):
    configured: bool = Field(description="false: no orchestrator is set up; work on without reporting")
    cancel_requested: bool = Field(default=False, description="true: stop working, an operator cancelled the task")
    deadline_at: str | None = Field(default=None, description="when the task times out, ISO 8601 UTC")
    remaining_seconds: int | None = Field(default=None, description="seconds until the deadline")
    waiting_reports: int = Field(default=0, description="reports not delivered yet; they are retried by themselves")
    missing: list[str] = Field(default=[], description="what the configuration lacks")
    advice: str = Field(description="what to do next")


class ReportReply(_Known):
    """Reply of every report tool. At most one of `delivered`, `queued` and `refused` is true."""

    delivered: bool = Field(default=False, description="the orchestrator has the report")
    queued: bool = Field(default=False, description="kept, and delivered in the background: do not repeat it")
    refused: bool = Field(default=False, description="not taken and not retried")
    submitting_logs: bool = Field(default=False, description="Crush's log follows in the background")


class JobInfo(_Known):
    """Reply of get_job_info. Without `reachable`, the fields of the task are the last that were known."""

    reachable: bool = Field(default=False, description="the orchestrator answered just now")
    orchestrator_url: str | None = None
    task_id: str | None = None
    title: str | None = None
    status: TaskStatus | None = None
    progress: int | None = None
    attempt: int | None = None


def remaining_seconds(task: Task | None, now: datetime) -> int | None:
    """Seconds until the task's deadline, 0 when it is past; None when it has none."""
    if task is None or task.deadline_at is None:
        return None
    try:
        deadline = datetime.fromisoformat(task.deadline_at)
    except ValueError:
        return None
    aware = deadline if deadline.tzinfo else deadline.replace(tzinfo=UTC)
    return max(0, int((aware - now).total_seconds()))


def unconfigured_advice(unconfigured: Unconfigured) -> str:
    """Say that nothing can be reported, and why."""
    return "Not connected to an orchestrator. Carry on without reporting. " + " ".join(unconfigured.problems)


def report_advice(receipt: Receipt[Task], sent: ReportStatus, task: Task | None, left: int | None) -> str:
    """Say what became of a report and what the agent should do now."""
    if receipt.outcome is Outcome.REFUSED:
        return _refused_advice(receipt)
    if task is not None and task.cancel_requested:
        return "An operator has cancelled this task: stop now, start nothing new."
    if receipt.outcome is Outcome.QUEUED:
        why = f" ({receipt.problem})" if receipt.problem else ""
        return f"Kept, and delivered in the background{why}. Do not repeat it; {_while_queued(sent, left)}"
    return _delivered_advice(sent, left)


def task_advice(task: Task, left: int | None) -> str:
    """Say what the task's state asks of the agent."""
    if task.status.terminal:
        return f"This task has ended ({task.status}): do no more work on it."
    if task.cancel_requested:
        return "An operator has cancelled this task: stop now, start nothing new."
    return _time_advice(left)


def _while_queued(sent: ReportStatus, left: int | None) -> str:
    if sent.terminal:
        return "before you exit, call get_job_info until waiting_reports is 0, for a minute at most."
    return f"carry on. {_time_advice(left)}" if left is not None else "carry on."


def _delivered_advice(sent: ReportStatus, left: int | None) -> str:
    if sent.terminal:
        return "Delivered. This was the verdict: report nothing more, end your work."
    return f"Delivered. {_time_advice(left)}"


def _time_advice(left: int | None) -> str:
    if left is None:
        return "Carry on."
    if left > SOON:
        return f"{_in_words(left)} remain until the deadline."
    return f"{left} s remain until the deadline: save results, then call report_complete or report_error."


def _in_words(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    if not hours:
        return f"{minutes} minutes"
    return f"{hours} h {minutes} min"


def _refused_advice(receipt: Receipt[Task]) -> str:
    hint = {
        401: "The key is not accepted; reports cannot get through. Carry on without them.",
        404: "The orchestrator does not give this key such a task. Carry on without reporting.",
        409: "The task has ended or was given to another attempt: stop working on it.",
    }.get(receipt.status or 0, "Carry on; do not repeat this report.")
    return f"Not taken, and not retried: {receipt.problem}. {hint}"
