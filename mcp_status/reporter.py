"""One task's reporter: numbers the reports and owns the connections and the delivery."""

from collections.abc import Callable
from concurrent.futures import Future
from itertools import count

from mcp_status.delivery import Delivery, Receipt
from mcp_status.settings import Settings
from qb import __version__
from qb.client.api import QbClient
from qb.client.errors import ClientError
from qb.contract.states import ReportStatus
from qb.contract.tasks import StatusReport, Task
from qb.contract.text import scrubbed

LOOK_UP_TIMEOUT = 1.4
FLUSH_SECONDS = 5.0
USER_AGENT = f"all-time-quarterback-mcp/{__version__}"


class Reporter:
    """Reports on the task of `settings`; raises ClientError when its address or CA file cannot be used.

    Reports are numbered from `now_ms` (milliseconds since 1970), so that a reporter started again within the
    same attempt never repeats a number.
    """

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self._client = connect(settings, timeout=LOOK_UP_TIMEOUT)
        self._seq = count(now_ms())
        self.delivery = Delivery(lambda report, seconds: self._client.report_status(report, timeout=seconds))
        self.delivery.start()

    def report(self, status: ReportStatus, message: str | None, progress: int | None) -> Future[Receipt]:
        """Queue a report; what SQLite cannot hold is shown as U+FFFD, a message that is too long is cut."""
        body = StatusReport(
            task_id=self.settings.task_id,
            status=status,
            message=scrubbed(message) if message else None,
            progress=progress,
            seq=next(self._seq),
        )
        return self.delivery.offer(body)

    def look_up(self) -> Task | str:
        """Return the task as the orchestrator shows it now, or why it does not."""
        try:
            return self._client.task(self.settings.task_id)
        except ClientError as error:
            return str(error)

    def close(self) -> int:
        """Flush for at most FLUSH_SECONDS; returns how many reports were left behind."""
        left = self.delivery.close(FLUSH_SECONDS)
        if not left:
            self._client.close()  # else a request may still be under way; the process is about to end
        return left


def connect(settings: Settings, *, timeout: float) -> QbClient:
    """Return a client that speaks with the task's key."""
    return QbClient(
        settings.url,
        api_key=settings.api_key,
        timeout=timeout,
        ca_file=settings.ca_file,
        user_agent=USER_AGENT,
    )
