"""The lifecycle table, over the full product of statuses, events and guards."""

import itertools
from pathlib import Path

import pytest

from qb.contract.states import LIVE, RETRYABLE, STARTED, TERMINAL, Reason, TaskStatus
from qb.domain.lifecycle import TABLE, Event, Guard, backoff, blame, decide, may_retry, mermaid, sources, verdict

PRODUCT = list(itertools.product(TaskStatus, Event, (False, True)))

# What each event is for, told a second time and in another way than the table tells it.
MEANINGFUL = {
    Event.CLAIMED: {TaskStatus.PENDING},
    Event.QUEUE_EXPIRED: {TaskStatus.PENDING},
    Event.DEPENDENCIES_MET: {TaskStatus.PENDING},
    Event.DEPENDENCY_FAILED: {TaskStatus.PENDING},
    Event.CANCEL_REQUESTED: {TaskStatus.PENDING, *LIVE},
    Event.ADOPTED: {TaskStatus.PENDING, *LIVE},
    Event.REDELIVERED: {TaskStatus.ASSIGNED},
    Event.RELEASED: {TaskStatus.ASSIGNED},
    Event.PUSH_REFUSED: {TaskStatus.ASSIGNED},
    Event.UNDELIVERABLE: {TaskStatus.ASSIGNED},
    Event.DELIVERY_DOUBTED: {TaskStatus.ASSIGNED},
    Event.UNACKNOWLEDGED: {TaskStatus.ASSIGNED},
    Event.VERDICT_MISSING: set(STARTED),
}
ENDS = {
    Event.SUCCEEDED: TaskStatus.SUCCESS,
    Event.DEADLINE_PASSED: TaskStatus.ERROR,
    Event.VERDICT_MISSING: TaskStatus.ERROR,
    Event.UNDELIVERABLE: TaskStatus.ERROR,
    Event.CANCEL_CONFIRMED: TaskStatus.CANCELLED,
    Event.CANCEL_UNCONFIRMED: TaskStatus.CANCELLED,
    Event.QUEUE_EXPIRED: TaskStatus.ERROR,
    Event.DEPENDENCY_FAILED: TaskStatus.CANCELLED,
}
RETRIED = {Event.FAILED, Event.LEASE_EXPIRED, Event.RUNNER_RESTARTED, Event.DELIVERY_DOUBTED}
BACK_IN_LINE = {Event.RELEASED, Event.PUSH_REFUSED, Event.UNACKNOWLEDGED, Event.DEPENDENCIES_MET}


@pytest.mark.parametrize(("status", "event", "retry"), PRODUCT)
def test_every_status_and_event_has_one_answer(status: TaskStatus, event: Event, retry: bool) -> None:
    decision = decide(status, event, may_retry=retry)
    expected = MEANINGFUL.get(event, set(LIVE))
    assert (decision is not None) == (status in expected)
    assert status in sources(event) or decision is None
    if decision is None:
        return
    if event in ENDS:
        assert decision.status is ENDS[event]
    if event in RETRIED:
        assert decision.status is (TaskStatus.PENDING if retry else TaskStatus.ERROR)
    if event in BACK_IN_LINE:
        assert decision.status is TaskStatus.PENDING


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_status(status: TaskStatus, event: Event) -> None:
    assert decide(status, event, may_retry=True) is None


def test_at_most_one_row_applies_to_each_status_event_and_guard() -> None:
    for first, second in itertools.combinations(TABLE, 2):
        if first.event is second.event and first.sources & second.sources:
            assert {first.guard, second.guard} == {Guard.MAY_RETRY, Guard.NO_RETRY}


def test_every_end_that_is_no_success_has_a_reason() -> None:
    for rule in TABLE:
        if rule.to in (TaskStatus.ERROR, TaskStatus.CANCELLED) and rule.event is not Event.FAILED:
            assert rule.reason is not None


def test_cancelling_a_live_task_leaves_its_status_until_the_node_confirms() -> None:
    for status in LIVE:
        decision = decide(status, Event.CANCEL_REQUESTED)
        assert decision is not None
        assert decision.status is status


def test_success_needs_both_verdicts() -> None:
    assert verdict(agent="success", runner="success", reason=None).succeeded
    assert verdict(agent=None, runner="success", reason=None).succeeded
    agent_failed = verdict(agent="error", runner="success", reason=None)
    assert (agent_failed.succeeded, agent_failed.reason) == (False, Reason.AGENT_ERROR)
    lied = verdict(agent="success", runner="error", reason=Reason.EXIT_NONZERO)
    assert (lied.succeeded, lied.reason) == (False, Reason.EXIT_NONZERO)
    assert verdict(agent="error", runner="error", reason=Reason.TIMEOUT).reason is Reason.TIMEOUT


def test_max_attempts_counts_starts() -> None:
    assert not may_retry(starts=1, max_attempts=1)
    assert may_retry(starts=1, max_attempts=2)


def test_only_the_reasons_that_the_policy_names_are_worth_another_start() -> None:
    policy = {"starts": 1, "max_attempts": 2, "retry_on": ["exit_nonzero"]}
    assert may_retry(reason=Reason.EXIT_NONZERO, **policy)
    assert not may_retry(reason=Reason.LEASE_EXPIRED, **policy)
    assert not may_retry(reason=None, **policy)


def test_the_table_knows_why_an_attempt_ended_where_nobody_told() -> None:
    assert blame(Event.LEASE_EXPIRED, None) is Reason.LEASE_EXPIRED
    assert blame(Event.FAILED, Reason.OUT_OF_MEMORY) is Reason.OUT_OF_MEMORY


def test_every_reason_that_the_table_may_retry_can_be_named_in_a_policy() -> None:
    told = {blame(rule.event, None) for rule in TABLE if rule.guard is Guard.MAY_RETRY} - {None}
    assert told <= RETRYABLE


@pytest.mark.parametrize(
    ("starts", "seconds"), [(0, 10), (1, 10), (2, 20), (3, 40), (9, 2560), (10, 3600), (5000, 3600)]
)
def test_each_wait_for_another_start_is_twice_the_last_up_to_an_hour(starts: int, seconds: float) -> None:
    assert backoff(starts=starts, first=10) == seconds
    assert backoff(starts=starts, first=0) == 0


def test_the_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    assert f"```mermaid\n{mermaid()}```" in page.read_text("utf-8"), "run `make docs`"
