"""`qb task why|retry`: what keeps a task from running, and another try for one that failed."""

from datetime import UTC, datetime

import typer

from qb.cli.options import Format, Output, TaskId, examples


def register(app: typer.Typer) -> None:
    """Add the two commands to `qb task`."""
    app.command(epilog=examples("qb task why 3f2a", "qb task why 3f2a -o json"))(why)
    app.command(epilog=examples("qb task retry 3f2a"))(retry)


def why(ctx: typer.Context, task: TaskId, output: Output = Format.TABLE) -> None:
    """Say in plain words why a task is not running."""
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_one
    from qb.cli.terminal import one_line

    with connected(ctx) as client:
        found = client.why(lookup.task_id(client, task))
    if not output.for_people:
        show_one(found, {}, output, key="task_id")
        return
    for cause in found.causes:
        typer.echo(one_line(cause.text))


def retry(ctx: typer.Context, task: TaskId, output: Output = Format.TABLE) -> None:
    """Try a task again that failed or was cancelled.

    It becomes a new task like it, which this prints.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_many
    from qb.cli.views import TASKS

    with connected(ctx) as client:
        made = client.retry_task(lookup.task_id(client, task))
    show_many([made], TASKS, output, now=datetime.now(UTC))
