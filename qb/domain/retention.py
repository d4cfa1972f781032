"""How long what tasks leave behind is kept, each kind with an age of its own, in days."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from qb.domain.errors import Invalid

NEVER = "forever"
MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Retention:
    """Days; None keeps for ever. The ages of what belongs to a task count from the task's end."""

    output: int | None = 30
    transcripts: int | None = 90
    artifacts: int | None = 90
    events: int | None = 180
    tasks: int | None = 365
    audit: int | None = 730
    webhooks: int | None = 14

    @classmethod
    def of(cls, settings: Iterable[str]) -> "Retention":
        """The defaults, changed by ``output=7`` or ``tasks=forever``. Raises Invalid."""
        kinds = [field.name for field in fields(cls)]
        changes: dict[str, int | None] = {}
        for text in settings:
            kind, _, days = text.partition("=")
            if kind not in kinds:
                raise Invalid(f"nothing called {kind[:40]!r} is kept: name one of {', '.join(kinds)}, as in output=7")
            changes[kind] = None if days == NEVER else _days(text, days)
        return replace(cls(), **changes)


def _days(text: str, days: str) -> int:
    if not (days.isascii() and days.isdigit()) or len(days) > 6 or not 0 < int(days) <= MOST_DAYS:
        raise Invalid(f"{text[:60]!r}: write days, from 1 to {MOST_DAYS}, or {NEVER}")
    return int(days)
