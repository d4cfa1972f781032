"""The life of a task as one literal table: from which status, on which event, under which guard, to what.

`decide` reads the table; the store repeats its source statuses in SQL; docs/architecture.md is drawn from it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from qb.contract.states import LIVE, STARTED, Reason, TaskStatus

PENDING, ASSIGNED = TaskStatus.PENDING, TaskStatus.ASSIGNED
RUNNING, ANALYZING = TaskStatus.RUNNING, TaskStatus.ANALYZING
SUCCESS, ERROR, CANCELLED = TaskStatus.SUCCESS, TaskStatus.ERROR, TaskStatus.CANCELLED

MAX_BACKOFF = 3600.0
"""The longest wait between two starts, in seconds."""


class Event(StrEnum):
    """What can happen to a task."""

    CLAIMED = "claimed"
    REDELIVERED = "redelivered"
    RELEASED = "released"
    PUSH_REFUSED = "push_refused"
    UNDELIVERABLE = "undeliverable"
    DELIVERY_DOUBTED = "delivery_doubted"
    UNACKNOWLEDGED = "unacknowledged"
    LEASE_EXPIRED = "lease_expired"
    REPORTED_RUNNING = "reported_running"
    REPORTED_ANALYZING = "reported_analyzing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEADLINE_PASSED = "deadline_passed"
    VERDICT_MISSING = "verdict_missing"
    RUNNER_RESTARTED = "runner_restarted"
    CANCEL_REQUESTED = "cancel_requested"
    CANCEL_CONFIRMED = "cancel_confirmed"
    CANCEL_UNCONFIRMED = "cancel_unconfirmed"
    QUEUE_EXPIRED = "queue_expired"
    DEPENDENCIES_MET = "dependencies_met"
    DEPENDENCY_FAILED = "dependency_failed"
    ADOPTED = "adopted"


class Guard(StrEnum):
    """A condition on a row of the table; MAY_RETRY means that the task's policy allows one more start."""

    ALWAYS = "always"
    MAY_RETRY = "may retry"
    NO_RETRY = "no retry"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. `to` None keeps the status; `reason` None leaves the choice to the event's own facts."""

    sources: frozenset[TaskStatus]
    event: Event
    guard: Guard
    to: TaskStatus | None
    reason: Reason | None = None


def _rule(
    sources: frozenset[TaskStatus] | TaskStatus,
    event: Event,
    to: TaskStatus | None,
    *,
    guard: Guard = Guard.ALWAYS,
    reason: Reason | None = None,
) -> Rule:
    return Rule(frozenset({sources}) if isinstance(sources, TaskStatus) else sources, event, guard, to, reason)


TABLE: tuple[Rule, ...] = (
    _rule(PENDING, Event.CLAIMED, ASSIGNED),
    _rule(PENDING, Event.CANCEL_REQUESTED, CANCELLED, reason=Reason.CANCELLED_BY_OPERATOR),
    _rule(PENDING, Event.QUEUE_EXPIRED, ERROR, reason=Reason.EXPIRED),
    # order: what it waits for has ended
    _rule(PENDING, Event.DEPENDENCIES_MET, None),
    _rule(PENDING, Event.DEPENDENCY_FAILED, CANCELLED, reason=Reason.DEPENDENCY_FAILED),
    # delivery: nothing can have started
    _rule(ASSIGNED, Event.REDELIVERED, None),
    _rule(ASSIGNED, Event.RELEASED, PENDING),
    _rule(ASSIGNED, Event.PUSH_REFUSED, PENDING),
    _rule(ASSIGNED, Event.UNDELIVERABLE, ERROR, reason=Reason.UNDELIVERABLE),
    _rule(ASSIGNED, Event.UNACKNOWLEDGED, PENDING),
    # an older client may have started it, and never says: to start it again takes leave
    _rule(ASSIGNED, Event.DELIVERY_DOUBTED, PENDING, guard=Guard.MAY_RETRY),
    _rule(ASSIGNED, Event.DELIVERY_DOUBTED, ERROR, guard=Guard.NO_RETRY, reason=Reason.UNDELIVERABLE),
    # reports
    _rule(LIVE, Event.REPORTED_RUNNING, RUNNING),
    _rule(LIVE, Event.REPORTED_ANALYZING, ANALYZING),
    _rule(LIVE, Event.SUCCEEDED, SUCCESS),
    _rule(LIVE, Event.FAILED, PENDING, guard=Guard.MAY_RETRY),
    _rule(LIVE, Event.FAILED, ERROR, guard=Guard.NO_RETRY),
    # silence: for an older client LEASE_EXPIRED, for wire 2 UNACKNOWLEDGED, is what ends an assignment
    _rule(LIVE, Event.LEASE_EXPIRED, PENDING, guard=Guard.MAY_RETRY),
    _rule(LIVE, Event.LEASE_EXPIRED, ERROR, guard=Guard.NO_RETRY, reason=Reason.LEASE_EXPIRED),
    _rule(LIVE, Event.DEADLINE_PASSED, ERROR, reason=Reason.TIMEOUT),
    _rule(STARTED, Event.VERDICT_MISSING, ERROR, reason=Reason.VERDICT_MISSING),
    _rule(LIVE, Event.RUNNER_RESTARTED, PENDING, guard=Guard.MAY_RETRY),
    _rule(LIVE, Event.RUNNER_RESTARTED, ERROR, guard=Guard.NO_RETRY, reason=Reason.RUNNER_RESTARTED),
    # after a restore: a node holds a newer attempt than the database knows
    _rule(LIVE | {PENDING}, Event.ADOPTED, RUNNING),
    # cancel
    _rule(LIVE, Event.CANCEL_REQUESTED, None),
    _rule(LIVE, Event.CANCEL_CONFIRMED, CANCELLED, reason=Reason.CANCELLED_BY_OPERATOR),
    _rule(LIVE, Event.CANCEL_UNCONFIRMED, CANCELLED, reason=Reason.CANCEL_UNCONFIRMED),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an event makes of a task."""

    status: TaskStatus
    reason: Reason | None


def decide(status: TaskStatus, event: Event, *, may_retry: bool = False) -> Decision | None:
    """Look the event up in the table. None: the event means nothing in this status."""
    held = {Guard.ALWAYS, Guard.MAY_RETRY if may_retry else Guard.NO_RETRY}
    for rule in TABLE:
        if rule.event is event and status in rule.sources and rule.guard in held:
            return Decision(rule.to or status, rule.reason)
    return None


def sources(event: Event) -> frozenset[TaskStatus]:
    """Every status in which `event` means something."""
    return frozenset().union(*(rule.sources for rule in TABLE if rule.event is event))


def may_retry(
    *, starts: int, max_attempts: int, reason: Reason | None = None, retry_on: Collection[str] | None = None
) -> bool:
    """Whether the policy allows another start after `starts` of them, the last of which ended for `reason`.

    `retry_on` None: every reason is worth another start.
    """
    return starts < max_attempts and (retry_on is None or reason in retry_on)


def blame(event: Event, told: Reason | None) -> Reason | None:
    """Why an attempt ended: the event's own reason, where the table has one, else what was told."""
    for rule in TABLE:
        if rule.event is event and rule.guard is Guard.NO_RETRY and rule.reason is not None:
            return rule.reason
    return told


def backoff(*, starts: int, first: float) -> float:
    """Seconds to wait after the failure of start number `starts`: `first`, then twice as long each time, to a limit."""
    return float(min(first * 2 ** min(max(starts - 1, 0), 30), MAX_BACKOFF))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of an attempt as both witnesses tell it."""

    succeeded: bool
    reason: Reason | None = None


def verdict(*, agent: str | None, runner: str, reason: Reason | None) -> Verdict:
    """Join what the agent claimed (None: nothing) and what the runner saw.

    Success needs both no agent error and the runner's success; the runner's own reason comes first, for
    it saw how the container ended.
    """
    if runner == "error":
        return Verdict(False, reason or Reason.EXIT_NONZERO)
    if agent == "error":
        return Verdict(False, Reason.AGENT_ERROR)
    return Verdict(True)


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> pending"]
    labels: dict[tuple[str, str], list[str]] = {}
    for rule in TABLE:
        for source in sorted(rule.sources):
            if rule.to is not None:
                guard = "" if rule.guard is Guard.ALWAYS else f" [{rule.guard}]"
                labels.setdefault((source, rule.to), []).append(f"{rule.event}{guard}")
    lines += [f"    {source} --> {to}: {', '.join(events)}" for (source, to), events in labels.items()]
    lines += [f"    {status} --> [*]" for status in (SUCCESS, ERROR, CANCELLED)]
    return "\n".join(lines) + "\n"
