"""`qb mcp`: an MCP server with which an agent steers the fleet."""

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.exits import CliError, Exit
from qb.cli.options import examples

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from qb.fleet_mcp.callers import Target


class Transport(StrEnum):
    """How clients speak to it."""

    STDIO = "stdio"
    HTTP = "http"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "mcp",
        epilog=examples("qb mcp", "qb --profile lab mcp --max-tasks 5", "qb mcp --transport http --port 8765"),
    )(serve)


def serve(
    ctx: typer.Context,
    transport: Annotated[
        Transport, typer.Option(metavar="stdio|http", help="stdio for a client that starts it; http for many clients.")
    ] = Transport.STDIO,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where http listens.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="The port of http; 0 takes a free one.")
    ] = 8765,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Another Host header to answer, as qb.example:443 (repeatable)."),
    ] = None,
    max_depth: Annotated[
        int, typer.Option(min=1, max=5, metavar="N", help="How many tasks may stand above a new one.")
    ] = 3,
    max_tasks: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="How many tasks a caller may create.")
    ] = 20,
) -> None:
    """Let an MCP client steer the fleet.

    It lists nodes, and creates, waits for, reads and cancels tasks. Over stdio it has the rights of QB_API_KEY
    or the profile. Over http it has none of its own: every request brings its key (Authorization: Bearer KEY),
    and without a good one nothing is answered.
    """
    from qb.cli.connection import current

    known = current(ctx)
    try:
        from qb.fleet_mcp.callers import Budget, Target, from_environment, from_headers
        from qb.fleet_mcp.server import build_server
        from qb.fleet_mcp.tools import Tools
    except ModuleNotFoundError as error:
        hint = 'install it: pip install "all-time-quarterback[mcp]"'
        raise CliError(f"the MCP server needs {error.name}, which is not installed", hint) from error
    target, budget = Target(known.url, known.ca_file), Budget(max_depth, max_tasks)
    if transport is Transport.HTTP:
        server = build_server(Tools(target, budget, lambda call: from_headers(call.headers or {})))
        _serve_http(server, target, host, port, tuple(name or ()))
        return
    if not known.api_key:
        raise CliError("there is no API key", "set QB_API_KEY, or choose a profile with --profile", Exit.DENIED)
    caller = from_environment(known.api_key, os.environ)
    build_server(Tools(target, budget, lambda _: caller)).run("stdio")


def _serve_http(server: "MCPServer[None]", target: "Target", host: str, port: int, names: tuple[str, ...]) -> None:
    import socket

    import uvicorn

    from qb.fleet_mcp.http import LOOPBACK, PATH, app

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise CliError(f"cannot listen at {host}:{port}: {error.strerror or error}", "choose another --port") from error
    with listening:
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"listening at http://{shown}:{listening.getsockname()[1]}{PATH}", err=True)
        if host not in LOOPBACK:
            typer.echo("warning: keys cross the network unencrypted: put a proxy with TLS before it", err=True)
        served = app(server, target, host=host, names=names)
        # httptools, where it is there, would keep the head of a request however long it grows
        config = uvicorn.Config(served, http="h11", log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])
    sys.stderr.flush()
