"""`qb task list`: tasks that meet conditions, the newest first."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from qb.cli.options import Format, Output, examples, moment, pairs
from qb.contract.states import TaskStatus


def register(app: typer.Typer) -> None:
    """Add the command to `qb task`."""
    app.command(
        "list",
        epilog=examples(
            "qb task list",
            "qb task list --status error --since 2h --node berlin-1",
            'qb task list --text "sales report" --tag site=berlin -o json',
        ),
    )(list_)


def list_(
    ctx: typer.Context,
    status: Annotated[TaskStatus | None, typer.Option(help="Only tasks in this status.")] = None,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="Only those that this node has or had.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Only those for nodes with this tag.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only those made with this key: name or id.")] = None,
    group: Annotated[str | None, typer.Option(metavar="GROUP", help="Only those of this group: its id.")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Only those with this in prompt or title.")] = None,
    since: Annotated[
        str | None, typer.Option(parser=moment, metavar="TIME", help="Only those made since: 2h, 2026-01-31, ...")
    ] = None,
    until: Annotated[
        str | None, typer.Option(parser=moment, metavar="TIME", help="Only those made before: 2h, 2026-01-31, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many, the newest first.")] = 20,
    output: Output = Format.TABLE,
) -> None:
    """List tasks, the newest first.

    Of several conditions all must hold.
    """
    from qb.cli.connection import connected
    from qb.cli.output import show_many
    from qb.cli.views import TASKS

    pairs(tag, "--tag")
    asked: dict[str, str | list[str] | None] = {
        "status_filter": status.value if status else None,
        "node": node,
        "tag": tag,
        "key": key,
        "group": group,
        "text": text,
        "since": since,
        "until": until,
    }
    with connected(ctx) as client:
        tasks = client.tasks(limit=limit, **{name: value for name, value in asked.items() if value})
    show_many(tasks, TASKS, output, now=datetime.now(UTC), empty="no tasks")
