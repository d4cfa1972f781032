"""What the journal holds: attempts, how far each has come, and what is to be sent for it."""

from dataclasses import dataclass
from enum import StrEnum

from qb.contract.states import Stream
from qb.contract.tasks import Assignment


class Phase(StrEnum):
    """How far an attempt has come. Each is recorded before the step it names."""

    INTENT = "intent"
    PERMITTED = "permitted"
    STARTED = "started"
    EXITED = "exited"
    REPORTED = "reported"


class Kind(StrEnum):
    """What lies in the outbox."""

    OUTPUT = "output"
    SESSION = "session"
    ARTIFACT = "artifact"
    VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Key:
    """Names one attempt."""

    task_id: str
    attempt: int

    @property
    def short(self) -> str:
        """What folders are called: the task's first eight characters."""
        return self.task_id[:8]

    @property
    def container(self) -> str:
        """The container's name."""
        return f"victoria-{self.short}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt as journalled."""

    key: Key
    phase: Phase
    assignment: Assignment
    boot_id: str
    cancelled: bool
    position: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """One thing to send."""

    id: int
    key: Key
    kind: Kind
    body: str
    size: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of output that has no number yet; `at` is ISO 8601."""

    stream: Stream
    at: str
    text: str
