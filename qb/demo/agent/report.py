"""Writes what was worked out: report.md and a chart."""

import statistics
from pathlib import Path

import pygal
from pygal.style import CleanStyle
from table import Table

CHARTED = 3
"""Lines in the chart at most."""


def markdown(name: str, prompt: str, table: Table) -> str:
    """The report, as Markdown."""
    lines = [f"# {name}", "", f"> {' '.join(prompt.split())}", "", f"{table.rows:,} rows{_span(table)}.", ""]
    lines += ["| column | mean | lowest | highest |", "|---|---:|---:|---:|"]
    for column, values in table.numbers.items():
        known = [value for value in values if value is not None]
        if known:
            lines.append(f"| {column} | {statistics.fmean(known):.2f} | {min(known):g} | {max(known):g} |")
    for column, counts in table.categories.items():
        shares = ", ".join(f"{value or '(empty)'} {count}" for value, count in counts.most_common())
        lines += ["", f"**{column}**: {shares}."]
    if table.dates:
        lines += _years(table)
    if "precipitation" in table.numbers:
        wet = sum(1 for value in table.numbers["precipitation"] if value)
        lines += ["", f"It rained or snowed on {wet:,} days, {wet / table.rows:.0%} of all."]
    return "\n".join(lines) + "\n"


def chart(name: str, table: Table, target: Path) -> None:
    """Draw the numeric columns over time, or their spread where there is no time."""
    columns = [column for column in table.numbers if column.startswith("temp")] or list(table.numbers)[:CHARTED]
    if table.dates and columns:
        drawing = pygal.Line(style=CleanStyle, show_dots=False, x_label_rotation=60, title=f"{name}, monthly means")
        months = table.by_month(columns[0])
        drawing.x_labels = [f"{year}-{month:02d}" for year, month in months]
        drawing.show_minor_x_labels = False
        drawing.x_labels_major_every = 6
        for column in columns:
            drawing.add(column, [round(value, 2) for value in table.by_month(column).values()])
    else:
        drawing = pygal.Box(style=CleanStyle, title=name)
        for column in columns:
            drawing.add(column, [value for value in table.numbers[column] if value is not None])
    # The chart stands alone: no script from anywhere.
    drawing.config.js = []
    drawing.render_to_file(str(target))


def _span(table: Table) -> str:
    return f", from {min(table.dates)} to {max(table.dates)}" if table.dates else ""


def _years(table: Table) -> list[str]:
    columns = list(table.numbers)
    lines = ["", "## By year", "", "| year | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    means = {column: table.by_year(column) for column in columns}
    years = next(iter(means.values()), {})
    cells = {year: " | ".join(f"{means[column].get(year, 0):.2f}" for column in columns) for year in years}
    return lines + [f"| {year} | {row} |" for year, row in cells.items()]
