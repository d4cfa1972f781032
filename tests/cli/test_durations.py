"""Durations as people type and read them."""

from datetime import UTC, datetime, timedelta

import pytest

from qb.cli.durations import ago, moment_of, seconds_of, span, written

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("2h", 7200), ("90s", 90), ("90", 90), ("1h30m", 5400), (" 1D ", 86_400), ("1h1m1s", 3661)],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "0", "0s", "1.5h", "5x", "m", "30m1h", "٣", "9" * 40])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2 * 86_400, "2 d"), (-3, "0 s")]
)
def test_a_span_has_one_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-01-31T11:59:48.000Z", "12 s ago"),
        ("2026-01-31T12:05:00.000Z", "in 5 min"),
        ("2026-01-31T12:00:00.500Z", "0 s ago"),
        (None, ""),
        ("yesterday", "yesterday"),
    ],
)
def test_a_moment_is_told_from_now(moment: str | None, text: str) -> None:
    assert ago(moment, NOW) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2h", "2026-01-31T10:00:00+00:00"), ("2026-01-30T08:00Z", "2026-01-30T08:00:00+00:00")],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, moment: str) -> None:
    assert moment_of(text, NOW) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "999999999d"])
def test_what_is_no_moment_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 2h"):
        moment_of(text, NOW)


@pytest.mark.parametrize(("seconds", "text"), [(2_592_000, "30d"), (3600, "1h"), (5400, "90m"), (61, "61s")])
def test_a_duration_is_written_as_it_is_read(seconds: int, text: str) -> None:
    assert (written(seconds), seconds_of(text)) == (text, seconds)


@pytest.mark.parametrize(
    ("to_come", "text"),
    [
        (timedelta(days=90) - timedelta(seconds=2), "in 90 d"),
        (timedelta(days=89, hours=11), "in 89 d"),
        (timedelta(hours=47, minutes=59), "in 48 h"),
        (timedelta(minutes=4, seconds=59.5), "in 5 min"),
        (timedelta(seconds=45), "in 45 s"),
    ],
)
def test_what_is_to_come_is_rounded_to_the_nearest(to_come: timedelta, text: str) -> None:
    assert ago((NOW + to_come).isoformat(), NOW) == text
