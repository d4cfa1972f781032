"""`qb task`: make tasks, look at them, wait for them, cancel them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.exits import CliError, Exit
from qb.cli.options import Format, Output, TaskId, duration, examples
from qb.contract.states import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qb.client import QbClient
    from qb.contract.tasks import Task

app = typer.Typer(
    help="Make tasks, look at them, wait for them, cancel them.",
    epilog=examples('qb task create "Summarise sales.csv" --file sales.csv --follow', "qb task list"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the commands to `qb task`."""
    app.command(epilog=examples("qb task show 3f2a", "qb task show 3f2a -o yaml"))(show)
    app.command(epilog=examples("qb task wait 3f2a --timeout 30m && echo done", "qb task wait 3f2a -o json"))(wait)
    app.command("follow", hidden=True, epilog=examples("qb task follow 3f2a"))(watch)
    app.command(epilog=examples("qb task watch 3f2a", "qb task watch 3f2a --timeout 30m -o json"))(watch)
    app.command(epilog=examples("qb task cancel 3f2a"))(cancel)


def show(ctx: typer.Context, task: TaskId, output: Output = Format.TABLE) -> None:
    """Show a task: where it stands, where it ran, and how it ended."""
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.dialogue_views import dialogue_sheet

    with connected(ctx) as client:
        found = client.task(lookup.task_id(client, task))
        more = dialogue_sheet(client, found) if output is Format.TABLE else {}
    shown(found, output, more)


def wait(
    ctx: typer.Context,
    task: TaskId,
    timeout: Annotated[
        int | None, typer.Option(parser=duration, metavar="TIME", help="Give up after 30m, 2h, 90s, ...")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Wait until a task has ended.

    The exit code is 0 when it succeeded, 7 when it did not, and 8 when the time was up before.
    """
    import time

    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.follow import watch as until_ended

    deadline = None if timeout is None else time.monotonic() + timeout
    with connected(ctx) as client:
        ended = until_ended(client, lookup.ending_task_id(client, task), None, deadline=deadline)
    shown(ended, output)
    _verdict(ended)


def watch(
    ctx: typer.Context,
    task: TaskId,
    timeout: Annotated[
        int | None, typer.Option(parser=duration, metavar="TIME", help="Give up after 30m, 2h, 90s, ...")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Watch a task until it has ended; exit codes as for `wait`."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        followed(client, client.task(lookup.ending_task_id(client, task)), output, timeout)


def cancel(ctx: typer.Context, task: TaskId, output: Output = Format.TABLE) -> None:
    """Cancel a task.

    One that runs ends as soon as its node has stopped the container; `qb task wait` waits for that.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.cancel_task(lookup.task_id(client, task))
    if found.status.terminal and found.status is not TaskStatus.CANCELLED:
        raise CliError(
            f"task {found.id} has ended already: {found.status}", "there is nothing to cancel", Exit.CONFLICT
        )
    listed([found], output)


def listed(tasks: "list[Task]", output: Format) -> None:
    """Print tasks as a listing."""
    from qb.cli.output import show_many
    from qb.cli.views import TASKS

    show_many(tasks, TASKS, output, now=datetime.now(UTC), empty="no tasks")


def shown(task: "Task", output: Format, more: "Mapping[str, object] | None" = None) -> None:
    """Print all there is to say of a task; `more` are further rows of its sheet."""
    from qb.cli.output import show_one
    from qb.cli.views import task_sheet

    show_one(task, task_sheet(task, datetime.now(UTC)) | dict(more or {}), output)


def followed(client: "QbClient", task: "Task", output: Format, timeout: int | None = None) -> None:
    """Watch a task until it has ended, `timeout` seconds at most; raises CliError when it does not succeed."""
    import time

    from rich.console import Console

    from qb.cli.follow import follow as live

    # data on stdout stays data: the view moves to stderr
    console = Console(stderr=not output.for_people, highlight=False)
    if output.for_people:
        console.print(f"task {task.id}", soft_wrap=True, markup=False)
    ended = live(client, task.id, console, deadline=None if timeout is None else time.monotonic() + timeout)
    if not output.for_people:
        shown(ended, output)
    _verdict(ended)


def _verdict(task: "Task") -> None:
    from qb.cli.terminal import one_line

    if task.status is TaskStatus.SUCCESS:
        return
    why = f": {task.reason}" if task.reason else ""
    said = task.error_message or task.message
    detail = f" ({one_line(said)[:300]})" if said else ""
    raise CliError(
        f"task {task.id} ended {task.status}{why}{detail}",
        f"`qb task logs {task.id}` shows what the container printed",
        Exit.TASK_FAILED,
    )
