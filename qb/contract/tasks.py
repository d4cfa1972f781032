"""Tasks on the wire: creation, assignment, reports, output, and what the API says of a task."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from qb.contract.delegation import Delegation
from qb.contract.scheduling import OnFailure, Scheduling
from qb.contract.states import Ability, Reason, Reporter, ReportStatus, Stream, TaskStatus
from qb.contract.text import (
    EnvName,
    EnvValue,
    FileName,
    Id,
    Image,
    Message,
    Name,
    Progress,
    Prompt,
    Scrubbed,
    Tags,
    Text,
)

MAX_FILES = 100
MAX_CHUNKS = 1000
MAX_ENV = 100
MAX_TIMEOUT = 30 * 24 * 3600
MAX_POLL_WAIT = 25.0
"""Seconds a poll may wait; every generation gives up after 30."""


class Limits(BaseModel):
    """Resources a container may use. A node without working cgroups takes no task that asks for any."""

    memory_mb: int | None = Field(default=None, ge=16, le=1 << 22)
    cpus: float | None = Field(default=None, gt=0, le=4096)
    pids: int | None = Field(default=None, ge=8, le=1 << 22)


class TaskCreate(Scheduling, Delegation):
    """Body of POST /tasks. Every target that is given must match; none means any node."""

    prompt: Prompt
    title: Name | None = None
    target_node_id: Id | None = None
    target_node_name: Name | None = None
    target_tags: Tags | None = None
    capabilities: list[Name] | None = Field(default=None, max_length=64)
    priority: int = Field(default=0, ge=-1000, le=1000)
    timeout_seconds: int | None = Field(default=3600, ge=1, le=MAX_TIMEOUT)
    files: list[FileName] | None = Field(default=None, max_length=MAX_FILES)
    image: Image | None = None
    env: dict[EnvName, EnvValue] | None = Field(default=None, max_length=MAX_ENV)
    limits: Limits | None = None
    needs: list[Ability] | None = Field(default=None, max_length=len(Ability))
    """Refuse the task, rather than warn, where an older node that may take it cannot do this: stop when it is told to,
    end the container itself when the time is up."""

    strict: bool = False
    """The same for all that the other fields ask for: files, image, env, limits, max_attempts, another
    timeout_seconds than an hour; and for a verdict."""


class GroupCreate(TaskCreate):
    """Body of POST /groups: one task for each node whose name matches the glob `each`, and that may run it."""

    each: Name


class Task(BaseModel):
    """A task as the API shows it. Times are ISO 8601 UTC; `cost` is in US dollars; of `env` only names are shown."""

    id: str
    title: str | None = None
    prompt: str
    target_node_id: str | None = None
    target_node_name: str | None = None
    target_tags: dict[str, str] | None = None
    capabilities: list[str] | None = None
    priority: int
    timeout_seconds: int | None = None
    status: TaskStatus
    reason: Reason | None = None
    assigned_node_id: str | None = None
    assigned_node_name: str | None = None
    attempt: int
    max_attempts: int
    progress: int | None = None
    message: str | None = None
    agent_status: ReportStatus | None = None
    exit_code: int | None = None
    result: str | None = None
    error_message: str | None = None
    crush_session_id: str | None = None
    crush_url: str | None = None
    cost: float | None = None
    tokens: int | None = None
    output_dropped: int | None = None
    """Bytes of output past the quota, which were not kept; None when all was."""

    waiting_until: str | None = None
    """Until when the agent waits for an operator's answer to a question; once past, it waits no more."""

    cancel_requested: bool = False
    cancel_requested_at: str | None = None
    created_at: str
    assigned_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    deadline_at: str | None = None
    scheduled_for: str | None = None
    recurrence: str | None = None
    schedule_id: str | None = None
    group_id: str | None = None
    retry_of: str | None = None
    parent_task_id: str | None = None
    root_task_id: str | None = None
    depth: int = 0
    """How many tasks stand above this one: it was asked for by `parent_task_id`, and all of them by the root's."""

    depends_on: list[str] | None = None
    on_failure: OnFailure | None = None
    available_at: str | None = None
    expires_at: str | None = None
    backoff_seconds: int | None = None
    retry_on: list[Reason] | None = None
    created_by: str | None = None
    created_by_key: str | None = None
    files: list[str] = []
    image: str | None = None
    env_names: list[str] = []
    limits: Limits | None = None


class TaskCreated(Task):
    """Reply to POST /tasks: `warnings` say what older nodes that may take the task cannot do for it."""

    warnings: list[str] = []


class Assignment(BaseModel):
    """What a node gets when a task is its own; the fields from `attempt` on are wire 2."""

    task_id: Id
    prompt: str
    orchestrator_url: str
    timeout_seconds: int | None = None
    files: list[FileName] = []
    file_checksums: list[str] = []
    attempt: int = Field(default=1, ge=1)
    lease_seconds: int = 60
    task_token: str | None = None
    agent_url: str | None = None
    crush_server_url: str | None = None
    image: str | None = None
    env: dict[str, str] | None = None
    limits: Limits | None = None


class NamesTask(BaseModel):
    """A body that names its task: `job_id` and `task_id` mean the same, and must not differ."""

    task_id: Id | None = None
    job_id: Id | None = None

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if self.task_id and self.job_id and self.task_id != self.job_id:
            raise ValueError("task_id and job_id name different tasks: send one, or both alike")
        return self

    @property
    def task(self) -> str | None:
        """The id of the task, under whichever name it came."""
        return self.task_id or self.job_id


def _known(code: int) -> int | None:
    return None if code == -1 else code


ExitCode = Annotated[int, Field(ge=-(1 << 31), le=(1 << 31) - 1), AfterValidator(_known)]
"""None for -1: podman shows that where it has noted no code, as of a container that its time limit ended."""


class StatusReport(NamesTask):
    """Body of POST /status. `timestamp` is the client's own and decides nothing.

    `preparing`: the node readies what the container needs; it has not asked for the permit to start it, and the
    task's time does not run yet.
    """

    status: ReportStatus
    message: Message | None = None
    progress: Progress | None = Field(default=None, ge=0, le=100)
    crush_session_id: Text | None = None
    timestamp: Text | float | None = None
    attempt: int | None = Field(default=None, ge=1)
    seq: int | None = Field(default=None, ge=0)
    exit_code: ExitCode | None = None
    reason: Reason | None = None
    preparing: bool = False


class OutputChunk(BaseModel):
    """One piece of a container's output; `seq` counts up from 1 within an attempt."""

    seq: int = Field(ge=1)
    stream: Stream = Stream.STDOUT
    at: Text
    text: Scrubbed = Field(max_length=1 << 20)


class OutputBatch(BaseModel):
    """Body of POST /tasks/{id}/output. A chunk that the server has is accepted and changes nothing."""

    attempt: int = Field(ge=1)
    chunks: list[OutputChunk] = Field(max_length=MAX_CHUNKS)


class OutputAccepted(BaseModel):
    """Reply to POST /tasks/{id}/output: everything up to this `seq` is durable."""

    accepted_to: int


class OutputLine(OutputChunk):
    """A chunk as the API shows it; `id` resumes a stream."""

    id: int
    attempt: int


class TaskEvent(BaseModel):
    """One entry of a task's append-only history; `id` resumes a stream."""

    id: int
    task_id: str
    attempt: int
    at: str
    kind: str
    source: Reporter
    status: TaskStatus | None = None
    message: str | None = None
    progress: int | None = None
    applied: bool = True
    detail: dict[str, Any] | None = None


class Upload(BaseModel):
    """Reply to POST /upload; `filename` is what POST /tasks takes in `files`."""

    filename: str
    original_name: str
    checksum: str
    size: int


class Artifact(BaseModel):
    """A file that a task left behind."""

    name: str
    size: int
    checksum: str
    created_at: str
    attempt: int
