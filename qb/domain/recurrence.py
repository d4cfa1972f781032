"""When a schedule runs: cron expressions in a time zone, by the calendar and not by counting seconds.

Where clocks go back, a time that occurs twice runs once; where they go forward, a run whose time does not exist that
day comes right after the gap. Runs by the minute or the hour simply go on (as Debian's cron has it).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

FIELDS = 5
ON_TIME = 60.0
"""A run that comes at most this many seconds late is not a missed one."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A cron expression of five fields and the zone whose wall clock it is read by."""

    expression: str
    zone: ZoneInfo

    @classmethod
    def of(cls, expression: str, time_zone: str | None) -> "Recurrence":
        """Raises ValueError, in words for the person who wrote it."""
        if len(expression.split()) != FIELDS:
            raise ValueError('write five cron fields, for example "0 9 * * 1-5" for 9:00 from Monday to Friday')
        try:
            zone = ZoneInfo(time_zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone {time_zone!r}: write a name such as Europe/Berlin") from error
        found = cls(expression, zone)
        try:
            first = found.after(datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            why = f"{str(error)[:1].lower()}{str(error)[1:]}"
            raise ValueError(f"no cron expression: {why}; write five fields, such as 0 9 * * 1-5") from error
        if first is None:
            raise ValueError("this time never comes")
        return found

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, in UTC; None when there is none."""
        return self._first(moment, reverse=False)

    def upto(self, moment: datetime) -> datetime | None:
        """The last time that is not after `moment`, in UTC."""
        return self._first(moment.replace(microsecond=0) + timedelta(seconds=1), reverse=True)

    def _first(self, moment: datetime, *, reverse: bool) -> datetime | None:
        found = next(CronSim(self.expression, moment.astimezone(self.zone), reverse=reverse), None)
        return None if found is None else found.astimezone(UTC)
