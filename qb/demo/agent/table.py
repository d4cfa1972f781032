"""Reads any CSV and works out what a report needs: numeric columns, and means over time when there are dates."""

import csv
import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path

GAPS = ("", "na", "n/a", "null", "none", "-")
FEW = 12
"""A text column with at most this many values is a category worth counting."""


@dataclass(frozen=True)
class Table:
    """The columns of a CSV, by kind. Values of a column are in the order of rows; None where there is none."""

    rows: int
    numbers: dict[str, list[float | None]]
    categories: dict[str, Counter[str]]
    dates: list[date] | None

    def by_month(self, column: str) -> dict[tuple[int, int], float]:
        """Mean of a numeric column for each (year, month), in order."""
        groups: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
        for day, value in zip(self.dates or (), self.numbers[column], strict=False):
            if value is not None:
                groups[day.year, day.month].append(value)
        return {month: statistics.fmean(values) for month, values in sorted(groups.items())}

    def by_year(self, column: str) -> dict[int, float]:
        """Mean of a numeric column for each year, in order."""
        groups: defaultdict[int, list[float]] = defaultdict(list)
        for day, value in zip(self.dates or (), self.numbers[column], strict=False):
            if value is not None:
                groups[day.year].append(value)
        return {year: statistics.fmean(values) for year, values in sorted(groups.items())}


def read(path: Path) -> Table:
    """Read a CSV with a header. Raises ValueError when there is nothing in it to summarise."""
    with path.open(encoding="utf-8-sig", newline="") as source:
        rows = list(csv.DictReader(source))
    if not rows:
        raise ValueError(f"{path.name} has no rows")
    numbers: dict[str, list[float | None]] = {}
    categories: dict[str, Counter[str]] = {}
    dates: list[date] | None = None
    for column in filter(None, rows[0]):  # cells beyond the header have no name
        values = [row[column] or "" for row in rows]
        days = _dates(values)
        parsed = _numbers(values)
        if days is not None and dates is None:
            dates = days
        elif parsed is not None:
            numbers[column] = parsed
        elif len(set(values)) <= FEW:
            categories[column] = Counter(values)
    if not numbers and not categories:
        raise ValueError(f"{path.name} has neither numbers nor categories to summarise")
    return Table(len(rows), numbers, categories, dates)


def _dates(values: list[str]) -> list[date] | None:
    try:
        return [date.fromisoformat(value.replace("/", "-")[:10]) for value in values]
    except ValueError:
        return None


def _numbers(values: list[str]) -> list[float | None] | None:
    try:
        return [_number(value.strip()) for value in values]
    except ValueError:
        return None


def _number(text: str) -> float | None:
    if text.lower() in GAPS:
        return None
    value = float(text)
    return value if math.isfinite(value) else None
