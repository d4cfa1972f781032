import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mcp_status.delivery import Delivery, Outcome
from mcp_status.reporter import FLUSH_SECONDS, Reporter
from mcp_status.settings import Settings
from qb.client import Refused, Unreachable
from qb.contract.errors import ErrorCode
from qb.contract.states import ReportStatus, TaskStatus
from qb.contract.tasks import StatusReport, Task

SOON = 5.0
TASK = Task(
    id="t1", prompt="p", priority=0, status=TaskStatus.RUNNING, attempt=1, max_attempts=1, created_at="2026-01-01"
)


class Line:
    """The other end: takes reports, except while it is down."""

    def __init__(self) -> None:
        self.taken: list[int | None] = []
        self.tried = threading.Semaphore(0)
        self.down = threading.Event()
        self.error: Exception | None = None

    def send(self, report: StatusReport, seconds: float) -> Task:
        assert seconds > 0
        self.tried.release()
        if self.down.is_set():
            raise Unreachable("nothing listens")
        if self.error:
            raise self.error
        self.taken.append(report.seq)
        return TASK


@contextmanager
def delivering(line: Line, *, limit: int = 10, pause: float = 0.005) -> Iterator[Delivery[StatusReport, Task]]:
    delivery = Delivery(
        line.send, limit=limit, pause=lambda tries: pause, may_drop=lambda report: not report.status.terminal
    )
    delivery.start()
    yield delivery
    delivery.close(SOON)


def report(seq: int, status: ReportStatus = ReportStatus.RUNNING) -> StatusReport:
    return StatusReport(task_id="t1", status=status, seq=seq)


def test_reports_arrive_in_order_across_an_outage() -> None:
    line = Line()
    line.down.set()
    with delivering(line) as delivery:
        receipts = [delivery.offer(report(n)) for n in range(1, 6)]
        assert [receipt.result(SOON).outcome for receipt in receipts] == [Outcome.QUEUED] * 5
        assert line.tried.acquire(timeout=SOON) and line.tried.acquire(timeout=SOON)
        line.down.clear()
        assert delivery.close(SOON) == 0
    assert line.taken == [1, 2, 3, 4, 5]


def test_a_receipt_says_delivered_with_the_task() -> None:
    with delivering(Line()) as delivery:
        receipt = delivery.offer(report(1)).result(SOON)
    assert (receipt.outcome, receipt.answer) == (Outcome.DELIVERED, TASK)


def test_a_refused_report_is_tried_once_and_the_next_goes_on() -> None:
    line = Line()
    line.error = Refused(409, ErrorCode.STALE_ATTEMPT, "attempt 1 is over")
    with delivering(line) as delivery:
        receipt = delivery.offer(report(1)).result(SOON)
        assert (receipt.outcome, receipt.status) == (Outcome.REFUSED, 409)
        line.error = None
        assert delivery.offer(report(2)).result(SOON).outcome is Outcome.DELIVERED
    assert line.taken == [2]


def test_an_overloaded_orchestrator_is_tried_again() -> None:
    line = Line()
    line.error = Refused(503, ErrorCode.OVERLOADED, "busy")
    with delivering(line) as delivery:
        assert delivery.offer(report(1)).result(SOON).outcome is Outcome.QUEUED
        line.error = None
        assert delivery.close(SOON) == 0
    assert line.taken == [1]


def test_a_full_queue_drops_the_oldest_progress_and_keeps_every_verdict() -> None:
    line = Line()
    line.down.set()
    with delivering(line, limit=3) as delivery:
        delivery.offer(report(1)).result(SOON)
        delivery.offer(report(2, ReportStatus.ERROR))
        delivery.offer(report(3))
        delivery.offer(report(4, ReportStatus.SUCCESS))
        assert delivery.waiting == 3
        line.down.clear()
        assert delivery.close(SOON) == 0
    assert line.taken == [1, 2, 4]


def test_a_queue_full_of_verdicts_refuses_the_next() -> None:
    line = Line()
    line.down.set()
    with delivering(line, limit=2) as delivery:
        delivery.offer(report(1, ReportStatus.ERROR)).result(SOON)
        delivery.offer(report(2, ReportStatus.ERROR))
        assert delivery.offer(report(3)).result(SOON).outcome is Outcome.REFUSED
        line.down.clear()


def test_closing_gives_up_when_its_time_is_over() -> None:
    line = Line()
    line.down.set()
    delivery = Delivery(line.send, pause=lambda tries: 60.0)
    delivery.start()
    delivery.offer(report(1)).result(SOON)
    assert delivery.close(0.3) == 1


def test_closing_cuts_a_long_pause_short() -> None:
    line = Line()
    line.down.set()
    delivery = Delivery(line.send, pause=lambda tries: 60.0)
    delivery.start()
    delivery.offer(report(1)).result(SOON)
    line.down.clear()
    assert delivery.close(SOON) == 0
    assert line.taken == [1]


def test_a_flush_ends_when_its_seconds_are_over_however_long_a_try_may_take() -> None:
    now, given = [100.0], []

    def hang(report: StatusReport, seconds: float) -> Task:
        given.append(seconds)
        now[0] += min(seconds, 2.0)
        raise Unreachable("no answer")

    delivery = Delivery(hang, pause=lambda tries: 1.0, send_timeout=60.0, clock=lambda: now[0])
    delivery.hurry(FLUSH_SECONDS)
    delivery.offer(report(1))
    delivery.start()
    delivery._thread.join(SOON)
    assert not delivery._thread.is_alive()
    assert given == [5.0, 3.0, 1.0], "no try may take longer than what is left of five seconds"
    assert delivery.join() == 1


def test_every_line_of_a_reporter_is_flushed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = []
    monkeypatch.setattr(Delivery, "hurry", lambda line, seconds: hurried.append(seconds))
    monkeypatch.setattr(Delivery, "join", lambda line: len(hurried))
    reporter = Reporter(Settings("http://127.0.0.1:1", "t", "k"), lambda: 0)
    assert reporter.close() == 16, "all are told before one is waited for"
    assert hurried == [5.0] * 4
