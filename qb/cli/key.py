"""`qb key`: API keys, for people and for external systems."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.options import Format, Output, duration, examples, pairs
from qb.contract.scopes import USUAL_SCOPES, Role, Scope

if TYPE_CHECKING:
    from qb.contract.keys import Key

DAY, HOUR = 86_400, 3_600
app = typer.Typer(
    help="API keys, for people and for external systems.",
    epilog=examples('qb key create acme --nodes "acme-*" --expires 90d', "qb key list"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
NONE = -1


def limit(text: str) -> int:
    """Parser of a limit that may be taken away: a number, or NONE for ``none``."""
    if text == "none":
        return NONE
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(f"{text!r} is no number: write for example 4, or none")
    return int(text)


def term(text: str) -> int:
    """Parser of a term that may have no end: seconds, or NONE for ``never``."""
    return NONE if text == "never" else duration(text)


KeyName = Annotated[str, typer.Argument(metavar="KEY", help="Name of the key, its id, or its first characters.")]


@app.command(
    epilog=examples(
        'qb key create acme --nodes "acme-*" --expires 90d',
        "qb key create ci --scope tasks:create --scope tasks:read --rate 60",
        "qb key create ada --role admin -o json",
    )
)
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called in listings.")],
    role: Annotated[Role, typer.Option(help="admin may do everything.")] = Role.SCOPED,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help=f"What it may do (repeatable); default {' '.join(USUAL_SCOPES)}."),
    ] = None,
    nodes: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only on nodes with such names (repeatable).")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Only on nodes with this tag.")] = None,
    rate: Annotated[int | None, typer.Option(metavar="N", help="Requests a minute.")] = None,
    max_running: Annotated[int | None, typer.Option(metavar="N", help="Tasks at once.")] = None,
    expires: Annotated[
        int | None, typer.Option(parser=duration, metavar="TIME", help="Good for 90d, 12h, ...; default for ever.")
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key, and print it this once."""
    from qb.cli.connection import connected
    from qb.cli.refusals import checked
    from qb.contract.keys import KeyCreate

    names = {"name": "NAME", "allowed_node_patterns": "--nodes", "allowed_node_tags": "--tag", "rate_limit": "--rate"}
    with checked(names | {"max_running": "--max-running", "expires_in_days": "--expires"}):
        body = KeyCreate(
            name=name,
            description=description,
            role=role,
            scopes=scope,
            allowed_node_patterns=nodes or [],
            allowed_node_tags=pairs(tag, "--tag") or {},
            rate_limit=rate,
            max_running=max_running,
            expires_in_days=None if expires is None else expires / DAY,
        )
    with connected(ctx) as client:
        made = client.admin.create_key(body)
    _shown(made, output, secret=made.api_key)


@app.command("list", epilog=examples("qb key list", "qb key list -o wide"))
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the keys."""
    from qb.cli.connection import connected
    from qb.cli.key_views import KEYS
    from qb.cli.output import show_many

    with connected(ctx) as client:
        keys = client.admin.keys()
    show_many(keys, KEYS, output, now=datetime.now(UTC), empty="no keys")


@app.command(epilog=examples("qb key show acme", "qb key show 6f1c -o yaml"))
def show(ctx: typer.Context, key: KeyName, output: Output = Format.TABLE) -> None:
    """Show a key: what it may do, until when, and when it was last used."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = lookup.key(client, key)
    _shown(found, output)


@app.command(epilog=examples("qb key edit acme --max-running 4", "qb key edit acme --rate none --expires 90d"))
def edit(
    ctx: typer.Context,
    key: KeyName,
    rate: Annotated[int | None, typer.Option(parser=limit, metavar="N|none", help="Requests a minute.")] = None,
    max_running: Annotated[int | None, typer.Option(parser=limit, metavar="N|none", help="Tasks at once.")] = None,
    expires: Annotated[
        int | None, typer.Option(parser=term, metavar="TIME|never", help="Good for 90d, 12h, ... from now.")
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Change a key's limits.

    They hold for its tasks that wait already, too.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.exits import CliError, Exit
    from qb.cli.refusals import checked
    from qb.contract.keys import KeyChange

    days = expires if not expires or expires == NONE else expires / DAY
    given = {"rate_limit": rate, "max_running": max_running, "description": description, "expires_in_days": days}
    changes = {field: None if value == NONE else value for field, value in given.items() if value is not None}
    if not changes:
        raise CliError("nothing to change", "see `qb key edit --help`", Exit.USAGE)
    with checked({"rate_limit": "--rate", "max_running": "--max-running", "expires_in_days": "--expires"}):
        body = KeyChange.model_validate(changes)
    with connected(ctx) as client:
        found = client.admin.change_key(lookup.key(client, key).id, body)
    _shown(found, output)


@app.command(epilog=examples("qb key rotate acme", "qb key rotate acme --grace 0h"))
def rotate(
    ctx: typer.Context,
    key: KeyName,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret stays good; 0 ends all former ones.")
    ] = "24h",
    output: Output = Format.TABLE,
) -> None:
    """Give a key a new secret, and print it this once."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    hours = grace_hours(grace)
    with connected(ctx) as client:
        made = client.admin.rotate_key(lookup.key(client, key).id, grace_period_hours=hours)
    _shown(made, output, secret=made.api_key)


@app.command(epilog=examples("qb key revoke acme"))
def revoke(ctx: typer.Context, key: KeyName, output: Output = Format.TABLE) -> None:
    """Make a key good for nothing.

    From the next request on; it stays in the listing.
    """
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.admin.revoke_key(lookup.key(client, key).id)
    _shown(found, output)


@app.command(epilog=examples("qb key remove acme"))
def remove(ctx: typer.Context, key: KeyName, output: Output = Format.TABLE) -> None:
    """Forget a key, from the next request on; its tasks stay."""
    from qb.cli import lookup
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.admin.remove_key(lookup.key(client, key).id)
    _shown(found, output)


def grace_hours(text: str) -> float:
    """Hours of ``24h``, ``30m`` or ``0``. Raises a usage error."""
    return 0 if text.strip().rstrip("dhms") == "0" else duration(text) / HOUR


def _shown(key: "Key", output: Format, secret: str | None = None) -> None:
    from qb.cli.key_views import key_sheet
    from qb.cli.output import Secret, show_one

    sheet = key_sheet(key, datetime.now(UTC))
    show_one(key, sheet | ({"Key": Secret(secret)} if secret else {}), output)
