"""What a bench finds: one figure beside its reference, and whether it meets its bar."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

ROUNDS = 3
"""Every ratio is the median of this many, each measured beside its own reference."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `compared` is what the bar is about: a ratio, a difference or the value itself.

    `least`: the bar is the least that will do; otherwise it is the most.
    """

    name: str
    value: float
    unit: str
    compared: float
    bar: float
    bar_unit: str = ""
    reference: float | None = None
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.compared >= self.bar if self.least else self.compared < self.bar

    def row(self) -> list[str]:
        """The cells of the table."""
        reference = "" if self.reference is None else f"{number(self.reference)} {self.unit}"
        bar = f"{'>=' if self.least else '<'} {number(self.bar)}{self.bar_unit}"
        compared = f"{number(self.compared)}{self.bar_unit}"
        return [
            self.name,
            f"{number(self.value)} {self.unit}",
            reference,
            compared,
            bar,
            "ok" if self.met else "MISSED",
        ]

    def plain(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**asdict(self), "met": self.met}


HEADERS = ["figure", "measured", "reference", "compared", "bar", ""]
Say = Callable[[str], None]
Bench = Callable[[Say], list[Figure]]


def ratio(name: str, pairs: Sequence[tuple[float, float]], unit: str, bar: float, *, least: bool) -> Figure:
    """The median of value / reference over `pairs`; shown with the pair that gave it."""
    value, reference = sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]
    return Figure(name, value, unit, value / reference, bar, "x", reference, least)


def most(name: str, values: Sequence[float], unit: str, bar: float) -> Figure:
    """The median of `values`, which must stay under `bar`."""
    value = median(values)
    return Figure(name, value, unit, value, bar, f" {unit}")


def number(value: float) -> str:
    """Three digits, or whole thousands: nobody reads more of a measurement."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
