"""When and how often a task may start, on the wire: order, schedules, retries, groups, and why one waits."""

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, Field, field_validator

from qb.contract.states import RETRYABLE, Reason, TaskStatus
from qb.contract.text import Id, Text

MAX_DEPENDENCIES = 100
MAX_GROUP = 10_000
"""Tasks that one fan-out makes at most: all are created in one transaction."""

LONGEST_WAIT = 30 * 24 * 3600


class OnFailure(StrEnum):
    """What becomes of a task when one that it waits for does not succeed."""

    CANCEL = "cancel"
    RUN = "run"


class MissedRuns(StrEnum):
    """What a schedule does about runs whose time passed while the control plane was down."""

    SKIP = "skip"
    ONCE = "once"


class Scheduling(BaseModel):
    """The part of a new task that says when it may start.

    `recurrence` is five cron fields in `time_zone` (an IANA name, UTC unless given): the task becomes a schedule, and
    each run is a task of its own. `queue_timeout_seconds` counts from the creation, or from `scheduled_for`.
    After a failed start `backoff_seconds` pass until the next, twice as many each time, an hour at most; `retry_on`
    names the reasons that are worth another start, all unless given.
    """

    scheduled_for: AwareDatetime | None = None
    recurrence: Text | None = None
    time_zone: Text | None = None
    missed_runs: MissedRuns = MissedRuns.SKIP
    depends_on: list[Id] | None = Field(default=None, max_length=MAX_DEPENDENCIES)
    on_failure: OnFailure = OnFailure.CANCEL
    queue_timeout_seconds: int | None = Field(default=None, ge=1, le=LONGEST_WAIT)
    max_attempts: int = Field(default=1, ge=1, le=100)
    backoff_seconds: int = Field(default=10, ge=0, le=3600)
    retry_on: list[Reason] | None = Field(default=None, max_length=len(RETRYABLE))

    @field_validator("retry_on")
    @classmethod
    def _may_be_retried(cls, reasons: list[Reason] | None) -> list[Reason] | None:
        final = sorted(set(reasons or ()) - RETRYABLE)
        if final:
            raise ValueError(f"{final[0]} is never retried; these are: {', '.join(sorted(RETRYABLE))}")
        return sorted(set(reasons)) if reasons else None


class GroupTask(BaseModel):
    """One task of a group, in short."""

    id: str
    status: TaskStatus
    reason: Reason | None = None
    target_node_name: str | None = None
    progress: int | None = None
    error_message: str | None = None


class Group(BaseModel):
    """Tasks made together, one for each node. `counts` has a number for each status that occurs."""

    id: str
    title: str | None = None
    each: str
    created_at: str
    created_by: str | None = None
    total: int
    ended: bool
    counts: dict[TaskStatus, int]
    tasks: list[GroupTask] | None = None


class GroupCreated(Group):
    """Reply to POST /groups: `warnings` say what older nodes among them cannot do for their task."""

    warnings: list[str] = []


class Schedule(BaseModel):
    """A task that recurs. Its id is that of the task which it was created as; each run names it as `schedule_id`."""

    id: str
    title: str | None = None
    prompt: str
    recurrence: str
    time_zone: str
    missed_runs: MissedRuns
    next_run_at: str | None = None
    last_run_at: str | None = None
    created_at: str
    created_by: str | None = None


class WhyCode(StrEnum):
    """What keeps a task from running, or that nothing does."""

    NOT_PENDING = "not_pending"
    SCHEDULE = "schedule"
    SCHEDULED = "scheduled"
    RESTORED = "restored"
    BACKOFF = "backoff"
    DEPENDENCY = "dependency"
    KEY_LIMIT = "key_limit"
    NO_NODES = "no_nodes"
    NO_MATCH = "no_match"
    TOO_OLD = "too_old"
    DRAINING = "draining"
    DISABLED = "disabled"
    OFFLINE = "offline"
    SLOTS_TAKEN = "slots_taken"
    STARTING = "starting"


class Cause(BaseModel):
    """One cause: a code for programs, a sentence for people."""

    code: WhyCode
    text: str


class Why(BaseModel):
    """Reply to GET /tasks/{id}/why: every cause there is, the ones that hold it back longest first."""

    task_id: str
    status: TaskStatus
    causes: list[Cause]
