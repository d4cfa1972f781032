"""Closed vocabularies of the wire: what a task, a node or a reason may be called."""

from enum import StrEnum

WIRE = 2
"""The wire version that our own runner and reporter speak. Older clients send none."""


class TaskStatus(StrEnum):
    """Public status of a task. `success`, `error` and `cancelled` are terminal and sticky."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    RUNNING = "running"
    ANALYZING = "analyzing"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing can change this status any more."""
        return self in TERMINAL

    @property
    def live(self) -> bool:
        """Whether a node holds the task: it has an attempt and a lease."""
        return self in LIVE


TERMINAL = frozenset({TaskStatus.SUCCESS, TaskStatus.ERROR, TaskStatus.CANCELLED})
LIVE = frozenset({TaskStatus.ASSIGNED, TaskStatus.RUNNING, TaskStatus.ANALYZING})
STARTED = frozenset({TaskStatus.RUNNING, TaskStatus.ANALYZING})


class ReportStatus(StrEnum):
    """The statuses that a node or an agent may report; the others belong to the orchestrator."""

    RUNNING = "running"
    ANALYZING = "analyzing"
    SUCCESS = "success"
    ERROR = "error"

    @property
    def terminal(self) -> bool:
        """Whether this report is a verdict."""
        return self in (ReportStatus.SUCCESS, ReportStatus.ERROR)


class Reason(StrEnum):
    """Why a task ended in `error` or `cancelled`."""

    AGENT_ERROR = "agent_error"
    EXIT_NONZERO = "exit_nonzero"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_LIMIT = "disk_limit"
    TIMEOUT = "timeout"
    LEASE_EXPIRED = "lease_expired"
    NODE_REBOOTED = "node_rebooted"
    RUNNER_RESTARTED = "runner_restarted"
    LAUNCH_FAILED = "launch_failed"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    FILE_UNAVAILABLE = "file_unavailable"
    REFUSED_BY_NODE = "refused_by_node"
    UNDELIVERABLE = "undeliverable"
    VERDICT_MISSING = "verdict_missing"
    CANCELLED_BY_OPERATOR = "cancelled_by_operator"
    CANCEL_UNCONFIRMED = "cancel_unconfirmed"
    DEPENDENCY_FAILED = "dependency_failed"
    EXPIRED = "expired"


RETRYABLE = frozenset(
    {
        Reason.AGENT_ERROR,
        Reason.EXIT_NONZERO,
        Reason.OUT_OF_MEMORY,
        Reason.TIMEOUT,
        Reason.LEASE_EXPIRED,
        Reason.NODE_REBOOTED,
        Reason.RUNNER_RESTARTED,
        Reason.LAUNCH_FAILED,
        Reason.CHECKSUM_MISMATCH,
        Reason.FILE_UNAVAILABLE,
        Reason.REFUSED_BY_NODE,
        Reason.UNDELIVERABLE,
    }
)
"""Reasons after which a task may be started again, where its creator allowed it."""


class Ability(StrEnum):
    """What a task may insist on that every node does by itself, but for older ones."""

    CANCEL = "cancel"
    TIME_LIMIT = "time_limit"


class Reporter(StrEnum):
    """Who speaks, known from the credential and never from the body."""

    AGENT = "agent"
    RUNNER = "runner"
    OPERATOR = "operator"
    ORCHESTRATOR = "orchestrator"


class NodeMode(StrEnum):
    """How assignments reach a node."""

    PUSH = "push"
    PULL = "pull"


class NodeDispatch(StrEnum):
    """What brings assignments to a push node: requests to its port, or Ansible over SSH."""

    HTTP = "http"
    ANSIBLE = "ansible"


class NodeStatus(StrEnum):
    """What a node says of itself, or `offline` when it has been silent too long."""

    IDLE = "idle"
    BUSY = "busy"
    OFFLINE = "offline"
    ERROR = "error"


class NodeState(StrEnum):
    """What the operator has decided about a node. Only an active one claims tasks."""

    ACTIVE = "active"
    DRAINING = "draining"
    DISABLED = "disabled"


class Generation(StrEnum):
    """Which client a node runs, as far as its requests tell (wire.md, "Client generations")."""

    OLD = "old"
    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"
    WIRE2 = "wire2"


class Stream(StrEnum):
    """Which of the container's two streams a piece of output came from; `system` is what we say about it."""

    STDOUT = "stdout"
    STDERR = "stderr"
    SYSTEM = "system"


class WebhookEvent(StrEnum):
    """What a webhook can be told of: that a task was made, and each status that it reaches."""

    CREATED = "task.created"
    PENDING = "task.pending"
    ASSIGNED = "task.assigned"
    RUNNING = "task.running"
    ANALYZING = "task.analyzing"
    SUCCESS = "task.success"
    ERROR = "task.error"
    CANCELLED = "task.cancelled"


ENDS = (WebhookEvent.SUCCESS, WebhookEvent.ERROR, WebhookEvent.CANCELLED)
