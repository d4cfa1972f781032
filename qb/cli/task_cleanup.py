"""`qb task cleanup`: remove tasks that ended long ago."""

from typing import Annotated

import typer

from qb.cli.options import Format, Output, examples


def register(app: typer.Typer) -> None:
    """Add the command to `qb task`."""
    app.command(epilog=examples("qb task cleanup", "qb task cleanup --days 30"))(cleanup)


def cleanup(
    ctx: typer.Context,
    days: Annotated[float, typer.Option(min=0, metavar="N", help="Those that ended so many days ago or earlier.")] = 7,
    output: Output = Format.TABLE,
) -> None:
    """Remove tasks that ended long ago.

    With their output, artifacts and history. The server does so by itself, as `qb serve --keep` says.
    """
    from qb.cli.connection import connected
    from qb.cli.output import emit_data

    total = 0
    with connected(ctx) as client:
        while True:
            cleaned = client.clean_up(days)
            total += cleaned.tasks
            if not cleaned.more:
                break
    if output.for_people:
        typer.echo(f"{total} task{'' if total == 1 else 's'} removed")
    elif output is Format.ID:
        typer.echo(str(total))
    else:
        emit_data({"tasks": total}, output)
