"""`qb init`: a data directory, and the profile that leads to it."""

import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from qb.cli.data_dir import DEFAULT_PORT, DataDir, explained, option
from qb.cli.exits import CliError


def init(
    ctx: typer.Context,
    data_dir: DataDir,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help=f"Address to write in the profile; default http://127.0.0.1:{DEFAULT_PORT}."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile that leads to another server.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a data directory, and print its keys.

    An admin key and a registration token are shown this once. The key also goes into your profile file (mode
    0600), so that `qb` works at once. `qb --profile NAME init` chooses the profile; one that leads to another
    server is left alone without --force.
    """
    from qb.cli.profile import Profile, profile_path, read_profiles, write_profile

    address = (url or _root(ctx, "url") or f"http://127.0.0.1:{DEFAULT_PORT}").rstrip("/")
    name = _root(ctx, "profile") or os.environ.get("QB_PROFILE_NAME") or "default"
    path = profile_path(os.environ)
    known = read_profiles(path).get(name)
    keep = known is not None and known.url != address and not force
    with explained():
        from qb.service.setup import initialise

        made = initialise(data_dir, now=datetime.now(UTC))
    problem: CliError | None = None
    if not keep:
        try:
            write_profile(path, name, Profile(address, made.admin_key))
        except CliError as error:
            # the keys exist only here: they are printed before this is told
            problem = error
    written = not keep and problem is None
    if json:
        from qb.cli.output import emit_line

        emit_line(
            {
                "data_dir": str(data_dir.resolve()),
                "url": address,
                "admin_key": made.admin_key,
                "registration_token": made.registration_token,
                "profile": name if written else None,
                "profile_file": str(path) if written else None,
            }
        )
    else:
        typer.echo(f"Data directory      {data_dir}")
        typer.echo(f"Admin key           {made.admin_key}")
        typer.echo(f"Registration token  {made.registration_token}")
        typer.echo("Both are shown this once: keep them safe.\n")
        if written:
            typer.echo(f"Profile {name!r} for {address} is written to {path}.")
        typer.echo(f"Next: qb serve {option(data_dir)}{_port(address)}")
    if keep and known:
        typer.echo(
            f"note: profile {name!r} in {path} still leads to {known.url}; "
            f"use the new key through QB_URL and QB_API_KEY, or put it into another profile",
            err=True,
        )
    if problem:
        raise problem


def _port(url: str) -> str:
    """The option for `qb serve` by which `url` leads to it; behind TLS stands a proxy, whose port is its own."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    return f" --port {port}" if parts.scheme == "http" and port not in (None, DEFAULT_PORT) else ""


def _root(ctx: typer.Context, name: str) -> str | None:
    value = ctx.find_root().params.get(name)
    return str(value) if value else None
