"""Printing answers: tables for 80 columns, and the same data as JSON, YAML or bare ids."""

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from qb.cli import terminal
from qb.cli.options import Format

M = TypeVar("M", bound=BaseModel)
_GAP = 2
_LEAST = 8
_VALUE_LINES = 6


class Secret(str):
    """What is shown this once, to be copied: it is never broken over lines."""


@dataclass(frozen=True, slots=True)
class Column(Generic[M]):
    """One column: `value` gets the model and the present moment.

    In a terminal a column that is `flexible` is cut to the room left, and one that is `short` is given as
    few characters as tell its rows apart. `wide` columns appear in wide tables only.
    """

    title: str
    value: Callable[[M, datetime], object]
    flexible: bool = False
    short: bool = False
    wide: bool = False


def show_many(
    rows: Sequence[M],
    layout: Sequence[Column[M]],
    output: Format,
    *,
    now: datetime,
    key: str = "id",
    empty: str = "nothing to show",
) -> None:
    """Print a listing. `key` is the field that ``-o id`` prints; `empty` is said of an empty table."""
    if output is Format.ID:
        _emit("".join(f"{terminal.one_line(str(getattr(row, key)))}\n" for row in rows))
    elif not output.for_people:
        emit_data([row.model_dump(mode="json") for row in rows], output)
    elif rows:
        _emit(table(rows, layout, wide=output is Format.WIDE, now=now) + "\n")
    elif terminal.is_terminal():
        _emit(empty + "\n")


def show_one(
    model: M,
    fields: Mapping[str, object],
    output: Format,
    *,
    key: str = "id",
) -> None:
    """Print one thing: `fields` as a table leaves out what is empty; wide adds all the model has."""
    if output is Format.ID:
        _emit(f"{terminal.one_line(str(getattr(model, key)))}\n")
    elif not output.for_people:
        emit_data(model.model_dump(mode="json"), output)
    elif output is Format.WIDE:
        everything = {name: _plain(value) for name, value in model.model_dump(mode="json").items()}
        _emit(_sheet(everything, cut=False))
    else:
        _emit(_sheet(fields, cut=terminal.is_terminal()))


def emit_data(data: Any, output: Format) -> None:
    """Print plain data as JSON or YAML."""
    if output is Format.YAML:
        import yaml

        document = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    else:
        document = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    _emit(terminal.inert_json(document))


def emit_line(data: Any) -> None:
    """Print plain data as one line of JSON."""
    _emit(terminal.inert_json(json.dumps(data, ensure_ascii=False)) + "\n")


def table(rows: Sequence[M], layout: Sequence[Column[M]], *, wide: bool, now: datetime) -> str:
    """`rows` laid out; cut to the terminal's width when a person looks and `wide` was not asked for."""
    from tabulate import tabulate

    shown = [column for column in layout if wide or not column.wide]
    cells = [[terminal.one_line(str(_plain(column.value(row, now)))) for column in shown] for row in rows]
    if terminal.is_terminal() and not wide:
        _fit(cells, shown, terminal.columns())
    # given as a row, since tabulate pads a header by two more cells
    lines = [[column.title for column in shown], *cells]
    return tabulate(lines, tablefmt="plain", disable_numparse=True)


def _fit(cells: list[list[str]], layout: Sequence[Column[M]], width: int) -> None:
    for at, column in enumerate(layout):
        if column.short:
            length = _telling([row[at] for row in cells])
            for row in cells:
                row[at] = row[at][:length]
    widths = [
        max([terminal.width(column.title), *(terminal.width(row[at]) for row in cells)])
        for at, column in enumerate(layout)
    ]
    # the widest flexible column gives way first
    excess = sum(widths) + _GAP * (len(layout) - 1) - width
    flexible = [at for at, column in enumerate(layout) if column.flexible]
    while excess > 0 and flexible:
        at = max(flexible, key=lambda index: widths[index])
        if widths[at] <= _LEAST:
            break
        widths[at] -= 1
        excess -= 1
    for at in flexible:
        for row in cells:
            row[at] = terminal.cut(row[at], widths[at])


def _telling(ids: Sequence[str]) -> int:
    length, distinct = _LEAST, len(set(ids))
    while len({each[:length] for each in ids}) < distinct:
        length += 1
    return length


def _sheet(fields: Mapping[str, object], *, cut: bool) -> str:
    given = {name: value for name, value in fields.items() if value not in (None, "", [], {})}
    margin = max((len(name) for name in given), default=0) + _GAP
    lines: list[str] = []
    for name, value in given.items():
        text = terminal.inert(str(value))
        if isinstance(value, Secret):
            parts = _apart(text, margin, cut=cut)
            lines += [name.ljust(margin) + parts[0], *parts[1:]]
            continue
        parts = _wrapped(text.splitlines() or [""], margin, cut=cut)
        lines.append(name.ljust(margin) + parts[0])
        lines += [" " * margin + part for part in parts[1:]]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _apart(secret: str, margin: int, *, cut: bool) -> list[str]:
    """The secret and that it is shown once; on a line of its own, from the first column, where it is too long."""
    line = f"{secret} (shown this once)"
    return [line] if not cut or margin + terminal.width(line) <= terminal.columns() else ["(shown this once)", secret]


def _wrapped(lines: Sequence[str], margin: int, *, cut: bool) -> list[str]:
    if not cut:
        return list(lines)
    room = max(terminal.columns() - margin, 20)
    # more text than fits is not even wrapped: a prompt may have 128 KiB
    budget = [line[: room * (_VALUE_LINES + 1)] for line in lines[: _VALUE_LINES + 1]]
    parts = [part for line in budget for part in (textwrap.wrap(line, room) or [""])]
    if len(parts) > _VALUE_LINES:
        parts = [*parts[: _VALUE_LINES - 1], terminal.cut(parts[_VALUE_LINES - 1], room - 2) + " …"]
    return parts


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={entry}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value


def joined(values: Iterable[object] | Mapping[str, object] | None) -> str:
    """A list as ``a, b``; a dictionary as ``k=v, k=v``; empty for none."""
    return str(_plain(values if isinstance(values, Mapping) else list(values or [])))


def _emit(text: str) -> None:
    sys.stdout.write(text)
