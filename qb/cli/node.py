"""`qb node`: the machines that tasks run on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.options import Format, NodeName, Output, examples, pairs
from qb.contract.states import Generation, NodeDispatch, NodeMode

if TYPE_CHECKING:
    from qb.contract.nodes import Node

RUNNER_PORT = 8080
"""Where a runner listens that was not told otherwise."""

app = typer.Typer(
    help="The machines that tasks run on.",
    epilog=examples("qb node list", "qb node drain berlin-1"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog=examples("qb node list", "qb node list -o wide"))
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the nodes."""
    from qb.cli.connection import connected

    with connected(ctx) as client:
        nodes = client.nodes()
    _listed(nodes, output)


@app.command(epilog=examples("qb node show berlin-1", "qb node show 9c41 -o json"))
def show(ctx: typer.Context, node: NodeName, output: Output = Format.TABLE) -> None:
    """Show a node."""
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.output import show_one
    from qb.cli.views import node_sheet

    with connected(ctx) as client:
        found = lookup.node(client, node)
    show_one(found, node_sheet(found, datetime.now(UTC)), output)


@app.command(
    epilog=examples(
        "qb node add berlin-1",
        "qb node add cloud-1 --mode push --host 203.0.113.5 --provision",
        "qb node add cloud-2 --mode push --endpoint https://203.0.113.6:8443",
        "qb node add ssh-1 --mode push --dispatch ansible --host 203.0.113.9",
    )
)
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the node.")],
    mode: Annotated[NodeMode, typer.Option(help="How assignments reach it.")] = NodeMode.PULL,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Where a push node listens; default http://H:8080.")
    ] = None,
    dispatch: Annotated[NodeDispatch, typer.Option(help="What brings a push node its tasks.")] = NodeDispatch.HTTP,
    host: Annotated[str | None, typer.Option(metavar="H", help="Where Ansible reaches the machine.")] = None,
    provision: Annotated[bool, typer.Option("--provision", help="Then run playbooks/nodes.yml on it.")] = False,
    inventory: Annotated[
        Path | None,
        typer.Option(
            "-i", "--inventory", metavar="FILE", help="The fleet's, for --provision; default inventory/fleet.yml."
        ),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Tag for targeting (repeatable).")] = None,
    slots: Annotated[int, typer.Option(metavar="N", help="Tasks that it runs at once.")] = 1,
    generation: Annotated[
        Generation, typer.Option(metavar="A..E", help="Which older client it runs, where you know.")
    ] = Generation.A,
    output: Output = Format.TABLE,
) -> None:
    """Register a node ahead of its first contact.

    Its key is printed this once.
    """
    from qb.cli import node_provision
    from qb.cli.connection import connected
    from qb.cli.output import Secret, show_one
    from qb.cli.refusals import checked
    from qb.cli.views import node_sheet
    from qb.contract.nodes import NodeCreate

    if mode is NodeMode.PUSH:
        endpoint = _endpoint(dispatch, host, endpoint)
    names = {
        "name": "NAME",
        "api_endpoint": "--endpoint",
        "tags": "--tag",
        "slots": "--slots",
        "address": "--host",
        "generation": "--generation",
    }
    with checked(names):
        tags = pairs(tag, "--tag") or {}
        body = NodeCreate(
            name=name,
            generation=generation,
            mode=mode,
            api_endpoint=endpoint,
            tags=tags,
            slots=slots,
            dispatch=dispatch,
            address=host,
        )
    sources = node_provision.inventories(inventory)
    if provision:
        node_provision.may_be_provisioned(ctx, body, sources)
    with connected(ctx) as client:
        made = client.create_node(body)
    show_one(made, {**node_sheet(made, datetime.now(UTC)), "Key": Secret(made.api_key)}, output)
    if provision:
        node_provision.provision(ctx, name, sources)


def _endpoint(dispatch: NodeDispatch, host: str | None, given: str | None) -> str | None:
    """Where tasks are pushed to. Raises CliError when that is not known."""
    from qb.cli.exits import CliError, Exit

    if dispatch is NodeDispatch.ANSIBLE:
        if host is None:
            raise CliError("--dispatch ansible needs --host", "it is where Ansible reaches the machine", Exit.USAGE)
        return given
    if given is None and host is None:
        raise CliError("--mode push needs --host or --endpoint", "tasks are brought there", Exit.USAGE)
    return given or f"http://{f'[{host}]' if ':' in str(host) else host}:{RUNNER_PORT}"


@app.command(epilog=examples("qb node drain berlin-1"))
def drain(ctx: typer.Context, node: NodeName, output: Output = Format.TABLE) -> None:
    """Give a node no more tasks; the one it runs is left to end."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.drain_node(lookup.node(client, node).id)
    _listed([found], output)


@app.command(epilog=examples("qb node resume berlin-1"))
def resume(ctx: typer.Context, node: NodeName, output: Output = Format.TABLE) -> None:
    """Give a drained node tasks again."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.resume_node(lookup.node(client, node).id)
    _listed([found], output)


def _listed(nodes: "list[Node]", output: Format) -> None:
    from qb.cli.output import show_many
    from qb.cli.views import NODES

    show_many(nodes, NODES, output, now=datetime.now(UTC), empty="no nodes: start a runner on one")
