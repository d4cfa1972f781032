"""Options that several commands share, and how their text becomes values."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from qb.cli.durations import moment_of, seconds_of
from qb.cli.sizes import bytes_of


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    ID = "id"

    @property
    def for_people(self) -> bool:
        """Whether the output is laid out for reading."""
        return self in (Format.TABLE, Format.WIDE)


def duration(value: str) -> int:
    """Parser of duration options: seconds, or a usage error with an example."""
    try:
        return seconds_of(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def byte_count(value: str) -> int:
    """Parser of size options: bytes, or a usage error with an example."""
    try:
        return bytes_of(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def moment(value: str) -> str:
    """Parser of options that take a time: ISO 8601, or a usage error with an example."""
    try:
        return moment_of(value, datetime.now(UTC)).isoformat()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def coming(value: str) -> str:
    """Parser of options that take a time to come: ``2h`` from now, or ISO 8601 (in this machine's zone without one)."""
    try:
        return (datetime.now(UTC) + timedelta(seconds=seconds_of(value))).isoformat()
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value).astimezone().isoformat()
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is no time: write for example 2h, or 2026-01-31T09:00") from error


def pairs(values: list[str] | None, option: str) -> dict[str, str] | None:
    """``["k=v", ...]`` as a dictionary; None for none. Raises a usage error for one without ``=``."""
    found: dict[str, str] = {}
    for value in values or []:
        key, equals, rest = value.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{value!r} is no pair: write for example {option} site=acme")
        found[key] = rest
    return found or None


def examples(*lines: str) -> str:
    """The end of a help page: commands to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


Output = Annotated[Format, typer.Option("-o", "--output", help="table, wide, json, yaml or id.", metavar="FORMAT")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task, or its first characters (4 or more).")]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="Name of the node, its id, or its first characters.")]
