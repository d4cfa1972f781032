"""`qb schedule`: tasks that recur."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.options import Format, Output, examples

if TYPE_CHECKING:
    from qb.contract.scheduling import Schedule

app = typer.Typer(
    help='Tasks that recur.\n\n`qb task create PROMPT --cron "0 9 * * 1-5"` makes one.',
    epilog=examples("qb schedule list", "qb schedule remove 3f2a"),
    no_args_is_help=True,
    rich_markup_mode=None,
)

ScheduleId = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="Id of the schedule, or its first characters (4 or more).")
]


@app.command("list", epilog=examples("qb schedule list", "qb schedule list -o json"))
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the schedules, the next to run first."""
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.schedules()
    _listed(found, output)


@app.command(epilog=examples("qb schedule show 3f2a", "qb schedule show 3f2a -o yaml"))
def show(ctx: typer.Context, schedule: ScheduleId, output: Output = Format.TABLE) -> None:
    """Show a schedule: when it runs next, and when it ran last."""
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_one
    from qb.cli.scheduling_views import schedule_sheet

    with connected(ctx) as client:
        found = client.schedule(lookup.schedule_id(client, schedule))
    show_one(found, schedule_sheet(found, datetime.now(UTC)), output)


@app.command(epilog=examples("qb schedule remove 3f2a"))
def remove(ctx: typer.Context, schedule: ScheduleId, output: Output = Format.TABLE) -> None:
    """End a schedule; the runs that it made stay."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.remove_schedule(lookup.schedule_id(client, schedule))
    _listed([found], output)


def _listed(schedules: "list[Schedule]", output: Format) -> None:
    from qb.cli.output import show_many
    from qb.cli.scheduling_views import SCHEDULES

    empty = 'no schedules: `qb task create PROMPT --cron "0 9 * * 1-5"` makes one'
    show_many(schedules, SCHEDULES, output, now=datetime.now(UTC), empty=empty)
