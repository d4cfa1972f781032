"""Times as places on a line: bars and marks for the pictures that the templates draw, in percent of the width."""

from dataclasses import dataclass
from datetime import datetime

from qb.dashboard.pages.reading import Rows
from qb.domain.times import parse

NARROWEST = 0.25
"""Percent: what lasted a moment can still be seen."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The stretch of time that a picture shows."""

    begin: datetime
    end: datetime

    def at(self, moment: str | datetime) -> float:
        """Where a moment lies, 0 to 100; what is outside lies at the edge."""
        when = parse(moment) if isinstance(moment, str) else moment
        whole = max((self.end - self.begin).total_seconds(), 0.001)
        return round(min(max((when - self.begin).total_seconds() / whole, 0.0), 1.0) * 100, 3)

    def bar(self, begin: str, end: str | datetime) -> dict[str, float]:
        """`x` and `width` of a bar."""
        left, right = self.at(begin), self.at(end)
        width = max(right - left, NARROWEST)
        return {"x": min(left, 100 - width), "width": round(width, 3)}


def phases(
    changes: Rows, events: Rows, created_at: str, completed_at: str | None, now: datetime
) -> tuple[Scale, Rows, Rows]:
    """A task's life: a bar for each stretch in one status, which `changes` begin, and a mark for each event."""
    end = parse(completed_at) if completed_at else now
    scale = Scale(parse(created_at), end)
    turns = [(created_at, "pending"), *((change["at"], change["status"]) for change in changes)]
    bars = []
    for number, (begin, status) in enumerate(turns):
        until = turns[number + 1][0] if number + 1 < len(turns) else scale.end
        if parse(begin) < scale.end and status not in ("success", "error", "cancelled"):
            bars.append({**scale.bar(begin, until), "status": status, "begin": begin, "end": until})
    marks = [{"x": scale.at(event["at"]), **event} for event in events]
    return scale, bars, marks


def lanes(attempts: Rows, scale: Scale) -> list[Rows]:
    """Attempts as bars, those that overlap in lanes of their own: as many lanes as ran at once."""
    rows: list[Rows] = []
    free: list[str] = []
    for attempt in sorted(attempts, key=lambda each: each["claimed_at"]):
        lane = next((index for index, until in enumerate(free) if until <= attempt["claimed_at"]), len(rows))
        if lane == len(rows):
            rows.append([])
            free.append("")
        free[lane] = attempt["ended_at"] or "9999"
        rows[lane].append({**attempt, **scale.bar(attempt["claimed_at"], attempt["ended_at"] or scale.end)})
    return rows


def ticks(scale: Scale, count: int) -> Rows:
    """`count` + 1 moments in even steps, as `x` and `at`."""
    step = (scale.end - scale.begin) / count
    return [{"x": round(100 * index / count, 3), "at": scale.begin + step * index} for index in range(count + 1)]
