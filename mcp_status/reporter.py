"""One task's reporter: numbers the reports and owns the connections and what is on its way."""

from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

from mcp_status.crush_log import LogsSent, Wanted
from mcp_status.delivery import Delivery, Receipt
from mcp_status.settings import Settings
from qb import __version__
from qb.client.api import QbClient
from qb.client.errors import ClientError
from qb.contract.states import ReportStatus
from qb.contract.task_metrics import MetricLog, TaskMetric
from qb.contract.tasks import Artifact, StatusReport, Task
from qb.contract.text import scrubbed

LOOK_UP_TIMEOUT = 1.4
FLUSH_SECONDS = 5.0
LARGE_SECONDS = 120.0
MOST_LARGE = 8
"""Logs, or files, that wait at most."""

LOGS_MARGIN = 30.0
"""Seconds before the reporter's start from which a session of Crush is this task's: Crush starts its servers first."""

USER_AGENT = f"all-time-quarterback-mcp/{__version__}"


class Reporter:
    """Reports on the task of `settings`; raises ClientError when its address or CA file cannot be used.

    Reports and metrics are numbered from `now_ms` (milliseconds since 1970), so that a reporter started again within
    the same attempt never repeats a number. Reports, metrics, files and logs each have a line of their own: a long
    log holds up no report.
    """

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self.began = now_ms() / 1000 - LOGS_MARGIN
        self.client = connect(settings, timeout=LOOK_UP_TIMEOUT)
        self._seq = count(now_ms())
        self.delivery: Delivery[StatusReport, Task] = Delivery(
            lambda report, seconds: self.client.report_status(report, timeout=seconds),
            what=lambda report: repr(report.status.value),
            may_drop=lambda report: not report.status.terminal,
        )
        self.metrics: Delivery[MetricLog, TaskMetric] = Delivery(
            lambda point, seconds: self.client.dialogue.log_metric(settings.task_id, point, timeout=seconds),
            what=lambda point: f"metric {point.name!r}",
        )
        self.files: Delivery[Path, Artifact] = Delivery(self._send_file, limit=MOST_LARGE, send_timeout=LARGE_SECONDS)
        self.logs: Delivery[Wanted, LogsSent] = Delivery(
            self._send_logs, what=lambda _: "the Crush log", limit=MOST_LARGE, send_timeout=LARGE_SECONDS
        )
        self._lines: tuple[Delivery[Any, Any], ...] = (self.delivery, self.logs, self.files, self.metrics)
        for line in self._lines:
            line.start()

    def report(self, status: ReportStatus, message: str | None, progress: int | None) -> "Future[Receipt[Task]]":
        """Queue a report; what SQLite cannot hold is shown as U+FFFD, a message that is too long is cut."""
        body = StatusReport(
            task_id=self.settings.task_id,
            status=status,
            message=scrubbed(message) if message else None,
            progress=progress,
            seq=next(self._seq),
        )
        return self.delivery.offer(body)

    def log_metric(self, name: str, value: float) -> "Future[Receipt[TaskMetric]]":
        """Queue a point. Raises pydantic's ValidationError for what is no metric."""
        return self.metrics.offer(MetricLog(name=name, value=value, seq=next(self._seq)))

    def send_logs(self, session_id: str | None = None) -> "Future[Receipt[LogsSent]]":
        """Queue the sessions that began with this task, or the one of that id with its sub-agents'."""
        return self.logs.offer(Wanted(self.began, session_id))

    def has_logs(self) -> bool:
        """Whether Crush keeps a log here."""
        return any((folder / "crush.db").is_file() for folder in self.settings.crush_folders)

    def look_up(self) -> Task | str:
        """Return the task as the orchestrator shows it now, or why it does not."""
        try:
            return self.client.task(self.settings.task_id)
        except ClientError as error:
            return str(error)

    def close(self) -> int:
        """Flush for at most FLUSH_SECONDS; returns how many reports, points, files and logs were left behind."""
        for line in self._lines:
            line.hurry(FLUSH_SECONDS)
        left = sum(line.join() for line in self._lines)
        if not left:
            self.client.close()  # else a request may still be under way; the process is about to end
        return left

    def _send_file(self, path: Path, _: float) -> Artifact:
        from mcp_status.artifacts import send_file

        return send_file(self.client, self.settings.task_id, path)

    def _send_logs(self, wanted: Wanted, seconds: float) -> LogsSent:
        from mcp_status.apart import send_logs_apart

        return send_logs_apart(self.settings, wanted, seconds)


def connect(settings: Settings, *, timeout: float) -> QbClient:
    """Return a client that speaks with the task's key."""
    return QbClient(
        settings.url,
        api_key=settings.api_key,
        timeout=timeout,
        ca_file=settings.ca_file,
        user_agent=USER_AGENT,
    )
