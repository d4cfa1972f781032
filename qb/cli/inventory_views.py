"""How a plan looks: a line for each node that is not as the file wants it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from qb.cli.options import Format
from qb.cli.output import Column, joined, show_many
from qb.contract.provisioning import ProvisionRun
from qb.inventory.plan import Act, Step

_DONE = {Act.CREATE: "created", Act.CHANGE: "changed", Act.REMOVE: "removed"}


RUNS: tuple[Column[ProvisionRun], ...] = (
    Column("ID", lambda run, _: run.id, short=True),
    Column("BEGAN", lambda run, _: run.started_at[:19].replace("T", " ")),
    Column("BY", lambda run, _: run.actor, flexible=True),
    Column("PLAYBOOK", lambda run, _: run.playbook + (" --check" if run.check else ""), flexible=True),
    Column("LIMIT", lambda run, _: run.limit or "", wide=True),
    Column("OUTCOME", lambda run, _: run.outcome),
    Column("HOSTS", lambda run, _: len(run.hosts)),
    Column("CHANGED", lambda run, _: sum(host.changed > 0 for host in run.hosts)),
    Column(
        "FAILED",
        lambda run, _: joined(host.host for host in run.hosts if host.failed or host.unreachable),
        flexible=True,
    ),
)


class Planned(BaseModel):
    """One line of a plan, as it is printed."""

    action: str
    name: str
    changes: dict[str, list[Any]]


def show(steps: Sequence[Step], output: Format, *, diff: bool) -> None:
    """Print the plan; `diff` shows each value before and after, a line for each."""
    columns: tuple[Column[Planned], ...] = (
        Column("ACTION", lambda line, _: line.action),
        Column("NODE", lambda line, _: line.name, flexible=True),
        Column("WHAT", lambda line, _: _what(line, diff=diff), flexible=True),
    )
    lines = [
        Planned(action=step.act, name=step.name, changes={key: list(pair) for key, pair in step.changes.items()})
        for step in steps
    ]
    if diff and output.for_people:
        lines = [part for line in lines for part in _apart(line)]
    show_many(lines, columns, output, now=datetime.now(UTC), key="name", empty="every node is as the file wants it")


def summary(todo: Sequence[Step], *, check: bool) -> str:
    """What was done, or with `check` is to be done, in one line."""
    if not todo:
        return "nothing to do"
    acts = [step.act for step in todo]
    counts = [f"{acts.count(act)} {word}" for act, word in _DONE.items() if act in acts]
    return ("to be done: " if check else "") + ", ".join(counts)


def _apart(line: Planned) -> list[Planned]:
    """A line for each change; the first alone has action and name."""
    changes = [{name: pair} for name, pair in line.changes.items()]
    return [
        Planned(action="" if at else line.action, name="" if at else line.name, changes=change)
        for at, change in enumerate(changes or [{}])
    ]


def _what(line: Planned, *, diff: bool) -> str:
    if line.action == Act.LEAVE:
        return "registered, not in the file"
    if not diff:
        return joined(line.changes.keys())
    return "; ".join(_change(name, old, new) for name, (old, new) in line.changes.items())


def _change(name: str, old: Any, new: Any) -> str:
    return f"{name}: {_value(new)}" if old is None else f"{name}: {_value(old)} -> {_value(new)}"


def _value(value: Any) -> str:
    if value in (None, {}, []):
        return "-"
    return joined(value) if isinstance(value, dict | list) else str(value)
