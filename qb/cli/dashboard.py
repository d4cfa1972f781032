"""`qb dashboard`: start Datasette over a data directory, and let people in.

It reads no database: the package it reaches, qb.dashboard, knows files in the data directory alone.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from qb.cli.data_dir import DataDir, option
from qb.cli.exits import CliError, Exit
from qb.cli.options import Format, Output, examples
from qb.dashboard.roles import Role

PORT = 8001
app = typer.Typer(
    epilog=examples(
        "qb dashboard --data-dir ~/qb",
        "qb dashboard --data-dir ~/qb --port 9001 --url https://qb.example.org",
        "qb dashboard open --data-dir ~/qb",
    ),
    rich_markup_mode=None,
)
user = typer.Typer(
    help="People who sign in to the dashboard with a password.",
    epilog=examples("qb dashboard user add dora --role analyst", "qb dashboard user list"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
RoleOption = Annotated[Role, typer.Option("--role", help="viewer: pages and canned queries; analyst: SQL too.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What they sign in with.")]


@app.callback(invoke_without_command=True)
def dashboard(
    ctx: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the control plane keeps everything.", envvar="QB_DATA_DIR"),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="Port to listen on.")] = PORT,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address that browsers use, where a proxy stands before it.")
    ] = None,
) -> None:
    """Start the dashboard over a data directory.

    Until Ctrl-C; people sign in by a link or with a password.
    """
    if ctx.invoked_subcommand is not None:
        return
    if data_dir is None:
        raise typer.BadParameter("name the data directory: --data-dir DIR, or QB_DATA_DIR")
    with _explained():
        from qb.dashboard.launch import become
        from qb.dashboard.place import Place

        Place.of(data_dir)
        typer.echo(f"sign in with a link: qb dashboard open {option(data_dir)}", err=True)
        sys.stderr.flush()
        become(data_dir, host=host, port=port, url=url)


@app.command("open", epilog=examples("qb dashboard open --data-dir ~/qb", "qb dashboard open --role viewer --as lobby"))
def open_(
    data_dir: DataDir,
    role: RoleOption = Role.ANALYST,
    as_: Annotated[str, typer.Option("--as", metavar="NAME", help="Who the pages say is signed in.")] = "operator",
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The dashboard's address; else that of its last start.")
    ] = None,
) -> None:
    """Print a link that signs in at once.

    It is good once, for 15 minutes, and the session lasts 12 hours.
    """
    with _explained():
        from qb.dashboard.links import link

        typer.echo(link(data_dir, as_, role, url=url, now=datetime.now(UTC)))


@user.command(epilog=examples("qb dashboard user add dora --role analyst", "pass show qb | qb dashboard user add dora"))
def add(name: Name, data_dir: DataDir, role: RoleOption = Role.VIEWER) -> None:
    """Let somebody sign in with a password.

    The password is asked for, or read from standard input.

    For a name that is there already it changes role and password, and ends the sessions of that name.
    """
    with _explained():
        from qb.dashboard.accounts import Accounts
        from qb.dashboard.place import Place

        accounts = Accounts(Place.of(data_dir))
        accounts.put(name, role, _password())
    typer.echo(f"{name} signs in as {role}")


@user.command("list", epilog=examples("qb dashboard user list --data-dir ~/qb", "qb dashboard user list -o json"))
def list_(data_dir: DataDir, output: Output = Format.TABLE) -> None:
    """List who may sign in with a password."""
    with _explained():
        from qb.dashboard.accounts import Accounts
        from qb.dashboard.place import Place

        accounts = Accounts(Place.of(data_dir)).all()
    if output is Format.ID:
        typer.echo("\n".join(each.name for each in accounts))
    elif output.for_people:
        lines = [f"{each.name:<24}  {each.role}" for each in accounts]
        typer.echo("\n".join(lines) or "nobody has a password: `qb dashboard user add NAME` gives one")
    else:
        from qb.cli.output import emit_data

        emit_data([{"name": each.name, "role": each.role.value} for each in accounts], output)


@user.command(epilog=examples("qb dashboard user remove dora --data-dir ~/qb"))
def remove(name: Name, data_dir: DataDir) -> None:
    """Let somebody sign in no more; sessions of that name end at once."""
    with _explained():
        from qb.dashboard.accounts import Accounts
        from qb.dashboard.place import Place

        Accounts(Place.of(data_dir)).remove(name)
    typer.echo(f"{name} is removed")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


@contextmanager
def _explained() -> Iterator[None]:
    from qb.dashboard.place import DashboardError, NotAllowed, NotThere

    try:
        yield
    except DashboardError as error:
        codes = {NotThere: Exit.NOT_FOUND, NotAllowed: Exit.USAGE}
        raise CliError(str(error), None, codes.get(type(error), Exit.FAILURE)) from error
    except ModuleNotFoundError as error:
        raise CliError(
            f"the dashboard is not installed here ({error.name} is missing)",
            "pip install 'all-time-quarterback[dashboard]'",
        ) from error
    except OSError as error:
        raise CliError(f"{error.filename or 'the data directory'}: {error.strerror or error}", None) from error


app.add_typer(user, name="user")
