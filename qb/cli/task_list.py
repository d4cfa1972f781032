"""`qb task list`: tasks that meet conditions, the newest first."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.exits import CliError, Exit
from qb.cli.options import Format, Output, examples, moment, pairs
from qb.contract.states import TaskStatus

if TYPE_CHECKING:
    from qb.client import QbClient


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
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Only those that this node has or had: name, id, or its start.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Only those for nodes with this tag.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only those made with this key: name, id, or its start.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Only those of this group: its id, or its first characters.")
    ] = None,
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
        asked |= _resolved(client, node, key, group)
        tasks = client.tasks(limit=limit, **{name: value for name, value in asked.items() if value})
        if not tasks:
            _exist(client, node, key, group)
    show_many(tasks, TASKS, output, now=datetime.now(UTC), empty="no tasks")


def _resolved(client: "QbClient", node: str | None, key: str | None, group: str | None) -> dict[str, str | None]:
    """Ids for what was typed; what names nothing now, but may have, stays as it is. Raises CliError."""
    from qb.cli import lookup

    def known_key(given: str) -> str:
        try:
            found = lookup.key(client, given)
        except CliError as error:
            if error.exit_code is not Exit.NOT_FOUND:
                raise
            # tasks keep the name of a key that was removed
            return given
        # other keys may have had the name before
        return given if given == found.name else found.id

    return {
        "node": node if node is None or lookup.whole(node) else _allowed(lambda: lookup.node(client, node).id, node),
        "key": key if key is None or lookup.whole(key) else _allowed(lambda: known_key(key), key),
        "group": None if group is None else lookup.group_id(client, group),
    }


def _exist(client: "QbClient", node: str | None, key: str | None, group: str | None) -> None:
    """Raises CliError or Refused for one that there is not: "no tasks" would hide a slip of the pen."""
    from qb.cli import lookup

    if node is not None:
        _allowed(lambda: lookup.node(client, node).id, node)
    if key is not None:
        _allowed(lambda: lookup.key(client, key).id, key)
    if group is not None:
        client.group(lookup.group_id(client, group))


def _allowed(find: Callable[[], str], given: str) -> str:
    """What `find` finds; `given` itself for whom the listing is forbidden: the orchestrator knows whole names, too."""
    from qb.client import Refused

    try:
        return find()
    except Refused as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return given
