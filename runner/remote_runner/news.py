"""Tells the orchestrator what an attempt is busy with before its container runs. What is lost is lost."""

import time
from collections.abc import Callable

import structlog

from qb.client import ClientError, QbClient, Refused
from qb.contract.states import ReportStatus
from qb.contract.tasks import StatusReport
from remote_runner.records import Key

INTERVAL = 2.0
OVER = 409
log = structlog.get_logger()


class News:
    """Messages of one attempt, one each few seconds at most; `check` is called with each and may raise.

    Raises Refused when the orchestrator says that the attempt is over.
    """

    def __init__(self, client: QbClient, key: Key, check: Callable[[], None]) -> None:
        self._client = client
        self._key = key
        self._check = check
        self._next = 0.0

    def say(self, message: str) -> None:
        """Send the message, unless there was one just now."""
        self._check()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL
        log.info(message, task=self._key.task_id)
        report = StatusReport(
            task_id=self._key.task_id,
            attempt=self._key.attempt,
            status=ReportStatus.RUNNING,
            message=message,
            preparing=True,
        )
        try:
            self._client.report_status(report)
        except ClientError as error:
            if isinstance(error, Refused) and error.status == OVER:
                raise
            log.info("the orchestrator did not take a message", task=self._key.task_id, error=str(error))
