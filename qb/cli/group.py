"""`qb group`: tasks that were made together, one for each node."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.exits import CliError, Exit, TimedOut
from qb.cli.options import Format, Output, duration, examples

if TYPE_CHECKING:
    from qb.client import QbClient
    from qb.contract.scheduling import Group

app = typer.Typer(
    help="Tasks made together, one for each node.\n\n`qb task create PROMPT --each GLOB` makes one.",
    epilog=examples("qb group list", "qb group wait 5b1c --timeout 2h"),
    no_args_is_help=True,
    rich_markup_mode=None,
)

GroupId = Annotated[str, typer.Argument(metavar="GROUP", help="Id of the group, or its first characters (4 or more).")]


@app.command("list", epilog=examples("qb group list", "qb group list --limit 5 -o json"))
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many, the newest first.")] = 20,
    output: Output = Format.TABLE,
) -> None:
    """List groups, the newest first."""
    from qb.cli.connection import connected
    from qb.cli.output import show_many
    from qb.cli.scheduling_views import GROUPS

    with connected(ctx) as client:
        found = client.groups(limit=limit)
    show_many(found, GROUPS, output, now=datetime.now(UTC), empty="no groups: `qb task create --each` makes one")


@app.command(epilog=examples("qb group show 5b1c", "qb group show 5b1c -o json"))
def show(ctx: typer.Context, group: GroupId, output: Output = Format.TABLE) -> None:
    """Show a group and each of its tasks."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.group(lookup.group_id(client, group))
    shown(found, output)


@app.command(epilog=examples("qb group wait 5b1c --timeout 2h && echo all done"))
def wait(
    ctx: typer.Context,
    group: GroupId,
    timeout: Annotated[
        int | None, typer.Option(parser=duration, metavar="TIME", help="Give up after 30m, 2h, 90s, ...")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Wait until every task of a group has ended.

    The exit code is 0 when all succeeded, 7 when not, and 8 when the time was up before.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        ended = until_ended(client, lookup.group_id(client, group), timeout)
    shown(ended, output)
    verdict(ended)


@app.command(epilog=examples("qb group cancel 5b1c"))
def cancel(ctx: typer.Context, group: GroupId, output: Output = Format.TABLE) -> None:
    """Cancel every task of a group.

    `qb group wait` waits until the nodes have.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.cancel_group(lookup.group_id(client, group))
    shown(found, output)


def shown(group: "Group", output: Format) -> None:
    """Print a group: its counts, and a line for each task."""
    from qb.cli.output import show_many, show_one
    from qb.cli.scheduling_views import GROUP_TASKS, group_sheet

    now = datetime.now(UTC)
    show_one(group, group_sheet(group, now), output)
    if output.for_people and group.tasks:
        typer.echo()
        show_many(group.tasks, GROUP_TASKS, output, now=now)


def until_ended(client: "QbClient", group_id: str, timeout: float | None) -> "Group":
    """Wait for one task after the other; returns the group as it ended. Raises TimedOut."""
    from qb.cli.follow import watch

    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        group = client.group(group_id)
        left = next((task for task in group.tasks or () if not task.status.terminal), None)
        if left is None:
            return group
        try:
            watch(client, left.id, None, deadline=deadline)
        except TimedOut as error:
            text = f"group {group_id} has not ended: {_counts(client.group(group_id))}"
            raise TimedOut(text, f"it goes on: `qb group show {group_id}`, or `qb group cancel {group_id}`") from error


def verdict(group: "Group") -> None:
    """Raises CliError when not all of a group that has ended succeeded."""
    if set(group.counts) - {"success"}:
        hint = f"`qb group show {group.id}` tells which; `qb task retry TASK` tries one again"
        raise CliError(f"group {group.id} ended: {_counts(group)}", hint, Exit.TASK_FAILED)


def _counts(group: "Group") -> str:
    from qb.cli.scheduling_views import counts

    return counts(group)
