"""The tools with which an agent reports: check the arguments, report, answer within two seconds."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import anyio
from anyio import to_thread
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from mcp_status.delivery import Outcome, Receipt
from mcp_status.replies import (
    JobInfo,
    ReportReply,
    remaining_seconds,
    report_advice,
    task_advice,
    unconfigured_advice,
)
from mcp_status.reporter import Reporter
from mcp_status.settings import Unconfigured
from qb.contract.states import ReportStatus
from qb.contract.tasks import Task

ANSWER_WITHIN = 1.5
"""Seconds a tool waits for the orchestrator; the agent is promised an answer in 2."""

Status = Annotated[
    str,
    Field(
        description="running: working; analyzing: the data is in, results are being made; success or error: the end",
        json_schema_extra={"enum": [str(status) for status in ReportStatus]},
    ),
]
Progress = Annotated[
    float | None,
    Field(
        description="percent done, 0 to 100, only when you can tell", json_schema_extra={"minimum": 0, "maximum": 100}
    ),
]
Text = Annotated[str | None, Field(description="one short sentence for a person, without secrets")]
Logs = Annotated[bool, Field(description="also send Crush's own log of this task, where there is one")]
ErrorText = Annotated[str, Field(description="what failed, why, and what would mend it, without secrets")]


class Tools:
    """The five tools of every orchestrator, described as a model reads them. `now` (aware) tells the time left."""

    def __init__(self, reporter: Reporter | Unconfigured, now: Callable[[], datetime]) -> None:
        self._reporter = reporter
        self._now = now

    async def report_status(self, status: Status, message: Text = None, progress: Progress = None) -> ReportReply:
        """Report progress at a milestone: what you have done or do next, and how far you are.

        Call it when something worth telling has happened, not after every step and not to keep a connection alive.
        To end the task prefer report_complete or report_error. A reply of `queued` counts: never repeat a report.
        """
        return await self._report(_status(status), message, _progress(progress))

    async def report_started(self, message: Text = None) -> ReportReply:
        """Report that you have begun. Call it once, before the first step, saying what you are about to do."""
        return await self._report(ReportStatus.RUNNING, message or "Started")

    async def report_complete(self, message: Text = None, submit_logs: Logs = True) -> ReportReply:
        """Report that the task is done. Call it once, last, when all results are written.

        Put the outcome in one sentence; results themselves belong in files. Not for partial success: if what was
        asked for is not there, call report_error.
        """
        return await self._end(ReportStatus.SUCCESS, message or "Complete", 100, submit_logs=submit_logs)

    async def report_error(self, error_message: ErrorText, submit_logs: Logs = True) -> ReportReply:
        """Report that the task has failed for good. Call it once, instead of report_complete, then stop.

        Not for a failure you can still work around: say that with report_status.
        """
        if not error_message.strip():
            raise ToolError("error_message is empty: say what failed and why.")
        return await self._end(ReportStatus.ERROR, error_message, None, submit_logs=submit_logs)

    async def get_job_info(self) -> JobInfo:
        """Tell which task this is, its status, its deadline and whether it is cancelled. Changes nothing.

        Call it at the start, or before a long step, to see how much time is left.
        """
        if isinstance(self._reporter, Unconfigured):
            missing = list(self._reporter.problems)
            return JobInfo(configured=False, missing=missing, advice=unconfigured_advice(self._reporter))
        return await _job_info(self._reporter, self._now)

    async def _end(self, status: ReportStatus, message: str, progress: int | None, *, submit_logs: bool) -> ReportReply:
        reply = await self._report(status, message, progress)
        if isinstance(self._reporter, Unconfigured) or reply.refused or not submit_logs:
            return reply
        if not self._reporter.has_logs():
            return reply
        self._reporter.send_logs()
        return reply.model_copy(update={"submitting_logs": True})

    async def _report(self, status: ReportStatus, message: str | None, progress: int | None = None) -> ReportReply:
        if isinstance(self._reporter, Unconfigured):
            missing = list(self._reporter.problems)
            return ReportReply(configured=False, missing=missing, advice=unconfigured_advice(self._reporter))
        receipt = await _receipt(self._reporter, status, message, progress)
        return _report_reply(self._reporter, receipt, status, self._now())


def _status(value: str) -> ReportStatus:
    try:
        return ReportStatus(value.strip().lower())
    except ValueError:
        allowed = ", ".join(ReportStatus)
        raise ToolError(f"status {value!r} is not one to report: use one of {allowed}.") from None


def _progress(value: float | None) -> int | None:
    if value is None:
        return None
    if not 0 <= value <= 100:
        raise ToolError(f"progress {value:g} is not a percentage: give a number from 0 to 100, or leave it out.")
    return round(value)


async def _receipt(
    reporter: Reporter, status: ReportStatus, message: str | None, progress: int | None
) -> Receipt[Task]:
    receipt = reporter.report(status, message, progress)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(receipt), ANSWER_WITHIN)
    except TimeoutError:
        return Receipt(Outcome.QUEUED, problem="the orchestrator is slow to answer")


def _report_reply(reporter: Reporter, receipt: Receipt[Task], sent: ReportStatus, now: datetime) -> ReportReply:
    task = receipt.answer or reporter.delivery.last
    left = remaining_seconds(task, now)
    return ReportReply(
        configured=True,
        delivered=receipt.outcome is Outcome.DELIVERED,
        queued=receipt.outcome is Outcome.QUEUED,
        refused=receipt.outcome is Outcome.REFUSED,
        cancel_requested=task is not None and task.cancel_requested,
        deadline_at=task.deadline_at if task else None,
        remaining_seconds=left,
        waiting_reports=reporter.delivery.waiting,
        advice=report_advice(receipt, sent, task, left),
    )


async def _job_info(reporter: Reporter, now: Callable[[], datetime]) -> JobInfo:
    fresh: Task | str = "it took too long"
    with anyio.move_on_after(ANSWER_WITHIN):
        # a lookup that hangs is left behind: its own deadline ends it
        fresh = await to_thread.run_sync(reporter.look_up, abandon_on_cancel=True)
    task = reporter.delivery.last if isinstance(fresh, str) else fresh
    left = remaining_seconds(task, now())
    advice = (
        f"The orchestrator does not tell ({fresh}). Carry on; reports are kept and delivered later."
        if isinstance(fresh, str)
        else task_advice(fresh, left)
    )
    info = JobInfo(
        configured=True,
        reachable=not isinstance(fresh, str),
        orchestrator_url=reporter.settings.url,
        task_id=reporter.settings.task_id,
        remaining_seconds=left,
        waiting_reports=reporter.delivery.waiting,
        advice=advice,
    )
    if task is None:
        return info
    told = ("title", "status", "progress", "attempt", "deadline_at", "cancel_requested")
    return info.model_copy(update={name: getattr(task, name) for name in told})
