"""`qb node edit`, `remove` and `rotate`: what the operator changes about a node."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from qb.cli.options import Format, NodeName, Output, examples, pairs
from qb.contract.states import Generation, NodeMode


def register(app: typer.Typer) -> None:
    """Add the commands to `qb node`."""
    app.command(epilog=examples("qb node edit berlin-1 --tag site=berlin --slots 2", "qb node edit a --rename b"))(edit)
    app.command(epilog=examples("qb node remove berlin-1", "qb node remove berlin-1 --force"))(remove)
    app.command(epilog=examples("qb node rotate berlin-1", "qb node rotate berlin-1 --grace 2h"))(rotate)


def edit(
    ctx: typer.Context,
    node: NodeName,
    rename: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Set this tag (repeatable).")] = None,
    remove_tag: Annotated[list[str] | None, typer.Option(metavar="K", help="Take this tag away.")] = None,
    slots: Annotated[int | None, typer.Option(metavar="N", help="Tasks that it runs at once.")] = None,
    mode: Annotated[NodeMode | None, typer.Option(help="How assignments reach it.")] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="Where a push node listens.")] = None,
    generation: Annotated[
        Generation | None, typer.Option(help="Which older client it runs, where its requests do not show it.")
    ] = None,
    allow_takeover: Annotated[
        bool, typer.Option("--allow-takeover", help="Let any matching token register this name, once.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Change a node.

    What is not given stays, and nobody's change made meanwhile is lost.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.exits import CliError, Exit
    from qb.cli.output import show_one
    from qb.cli.refusals import checked
    from qb.cli.views import node_sheet
    from qb.contract.nodes import NodeChange

    given: dict[str, Any] = {"name": rename, "slots": slots, "mode": mode, "api_endpoint": endpoint}
    given["generation"] = generation
    changes = {field: value for field, value in given.items() if value is not None}
    if allow_takeover:
        changes["takeover_allowed"] = True
    wanted = pairs(tag, "--tag") or {}
    if not (changes or wanted or remove_tag):
        raise CliError("nothing to change", "see `qb node edit --help`", Exit.USAGE)
    with connected(ctx) as client:
        before, etag = client.admin.tagged_node(lookup.node(client, node).id)
        if wanted or remove_tag:
            kept = {name: value for name, value in before.tags.items() if name not in (remove_tag or ())}
            changes["tags"] = kept | wanted
        with checked(
            {
                "name": "--rename",
                "tags": "--tag",
                "slots": "--slots",
                "api_endpoint": "--endpoint",
                "generation": "--generation",
            }
        ):
            body = NodeChange(**changes)
        found = client.admin.change_node(before.id, body, if_match=etag)
    show_one(found, node_sheet(found, datetime.now(UTC)), output)


def remove(
    ctx: typer.Context,
    node: NodeName,
    force: Annotated[bool, typer.Option("--force", help="Though it holds tasks: they end with their leases.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Forget a node.

    Its key is good for nothing from the next request on.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_one
    from qb.cli.views import node_sheet

    with connected(ctx) as client:
        found = client.admin.remove_node(lookup.node(client, node).id, force=force)
    show_one(found, node_sheet(found, datetime.now(UTC)), output)


def rotate(
    ctx: typer.Context,
    node: NodeName,
    grace: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long the old key stays good; default until it registers again."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Give a node a new key, and print it this once."""
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.key import grace_hours
    from qb.cli.output import Secret, show_one
    from qb.cli.views import node_sheet

    hours = None if grace is None else grace_hours(grace)
    with connected(ctx) as client:
        made = client.admin.rotate_node_key(lookup.node(client, node).id, grace_period_hours=hours)
    show_one(made, {**node_sheet(made, datetime.now(UTC)), "Key": Secret(made.api_key)}, output)
