"""The picture for docs/: nodes on x; on y how long a task takes to reach its node, and the server's memory."""

import os
from dataclasses import dataclass
from pathlib import Path

import pygal
from pygal.style import LightStyle

PICTURE = "QB_BENCH_PICTURE"
"""Where to write the picture; without it none is drawn."""


@dataclass(frozen=True, slots=True)
class Point:
    """So many waiting nodes: latencies in ms, the server's memory in MiB."""

    nodes: int
    p50: float
    p99: float
    mib: float

    def __str__(self) -> str:
        return f"{self.nodes:,} nodes: p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, {self.mib:.0f} MiB"


def draw(points: list[Point]) -> None:
    """Write the picture where the environment says, as SVG that loads nothing."""
    wanted = os.environ.get(PICTURE)
    if not wanted:
        return
    chart = pygal.XY(
        style=LightStyle(font_family="sans-serif"),
        js=(),
        width=820,
        height=420,
        title="Nodes waiting in long polls on one server",
        x_title="nodes",
        y_title="ms from submit to node has it",
        legend_at_bottom=True,
        secondary_range=(0, max(point.mib for point in points) * 1.1),
        range=(0, max(point.p99 for point in points) * 1.1),
        truncate_legend=-1,
    )
    chart.add("median (ms)", [(point.nodes, round(point.p50, 2)) for point in points])
    chart.add("99th percentile (ms)", [(point.nodes, round(point.p99, 2)) for point in points])
    chart.add(
        "memory of the server (MiB, right)", [(point.nodes, round(point.mib)) for point in points], secondary=True
    )
    Path(wanted).write_bytes(chart.render())
