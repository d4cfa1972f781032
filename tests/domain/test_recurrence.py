"""When schedules run: by the wall clock of their zone, through both changes of the clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qb.domain.recurrence import Recurrence


def runs(expression: str, zone: str, start: datetime, count: int) -> list[str]:
    recurrence = Recurrence.of(expression, zone)
    found, moment = [], start
    for _ in range(count):
        following = recurrence.after(moment)
        assert following is not None
        moment = following
        found.append(f"{moment:%d.%m. %H:%M}")
    return found


def test_weekdays_at_nine_in_berlin_are_eight_utc_in_winter_and_seven_in_summer() -> None:
    assert runs("0 9 * * 1-5", "Europe/Berlin", datetime(2026, 3, 26, 12, tzinfo=UTC), 3) == [
        "27.03. 08:00",
        "30.03. 07:00",
        "31.03. 07:00",
    ]


def test_a_time_that_the_clocks_skip_comes_right_after_the_gap() -> None:
    assert runs("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == [
        "29.03. 01:00",
        "30.03. 00:30",
    ]


def test_a_time_that_comes_twice_runs_once() -> None:
    assert runs("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == [
        "25.10. 00:30",
        "26.10. 01:30",
    ]


def test_runs_of_every_hour_go_on_through_the_hour_that_comes_twice() -> None:
    assert runs("0 * * * *", "Europe/Berlin", datetime(2026, 10, 24, 23, 30, tzinfo=UTC), 4) == [
        "25.10. 00:00",
        "25.10. 01:00",
        "25.10. 02:00",
        "25.10. 03:00",
    ]


def test_a_zone_with_half_hours_is_read_right() -> None:
    assert runs("0 9 * * *", "Asia/Kolkata", datetime(2026, 1, 1, tzinfo=UTC), 1) == ["01.01. 03:30"]


def test_without_a_zone_it_is_utc() -> None:
    recurrence = Recurrence.of("0 9 * * *", None)
    assert recurrence.after(datetime(2026, 1, 1, 9, tzinfo=UTC)) == datetime(2026, 1, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "words"),
    [
        ("daily", None, "five cron fields"),
        ("0 0 9 * * 1-5", None, "five cron fields"),
        ("61 * * * *", None, "bad minute"),
        ("0 0 30 2 *", None, "bad day"),
        ("0 9 * * *", "Mars/Base", "no time zone 'Mars/Base'"),
        ("0 9 * * *", "../etc/passwd", "no time zone"),
        ("0 9 * * *", "/etc/passwd", "no time zone"),
        ("0 9 * * *", "Europe", "no time zone"),
    ],
)
def test_what_cannot_be_is_told_in_words(expression: str, zone: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Recurrence.of(expression, zone)


EXPRESSIONS = ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 9 * * 1-5", "15 0,12 1 * *", "0 0 29 2 *", "5 4 * * 7"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
MOMENTS = st.floats(0, (LAST - FIRST).total_seconds()).map(lambda seconds: FIRST + timedelta(seconds=seconds))


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), MOMENTS)
def test_looking_forward_and_looking_back_agree(expression: str, zone: str, moment: datetime) -> None:
    recurrence = Recurrence.of(expression, zone)
    following = recurrence.after(moment)
    assert following is not None
    assert following > moment
    assert following.tzinfo is UTC
    last = recurrence.upto(following)
    assert last is not None
    assert last <= following
    assert following - last <= timedelta(hours=2), "the clocks may make them differ, but not by more than their change"
    before = recurrence.upto(moment)
    assert before is not None
    assert before <= moment
