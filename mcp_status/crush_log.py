"""What is asked for of Crush's log, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

from qb.client.errors import ClientError


class NoTranscript(ClientError):
    """There is no log to send, or none that can be read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions: those that began at `since` (a POSIX time) or later, or the one of `session_id` with its own."""

    since: float
    session_id: str | None = None


@dataclass(slots=True)
class LogsSent:
    """What was sent: `database` is where it was found, `cost` in US dollars."""

    database: Path
    sessions: list[str]
    messages: int = 0
    tokens: int = 0
    cost: float = 0.0
