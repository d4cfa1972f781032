"""`qb version`: what runs here, and what runs there."""

from typing import TYPE_CHECKING

import typer

from qb import __version__
from qb.cli.options import Format, Output
from qb.contract.states import WIRE

if TYPE_CHECKING:
    from qb.contract.fleet import Version


def version(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Print the versions of both sides.

    The orchestrator's only when one is configured and answers.
    """
    from qb.cli.output import emit_data

    server, note = _server(ctx)
    if output is Format.ID:
        typer.echo(__version__)
    elif output.for_people:
        typer.echo(f"qb            {__version__}  wire {WIRE}")
        typer.echo(f"orchestrator  {f'{server.version}  wire {server.wire}' if server else note}")
    else:
        remote = server.model_dump(mode="json") if server else None
        emit_data({"version": __version__, "wire": WIRE, "orchestrator": remote}, output)


def _server(ctx: typer.Context) -> "tuple[Version | None, str]":
    from qb.cli.connection import connected
    from qb.cli.exits import CliError

    try:
        with connected(ctx) as client:
            return client.version(), ""
    except CliError as error:
        return None, error.message
