"""`qb token`: registration tokens, with which machines join the fleet."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from qb.cli.options import Format, Output, duration, examples

DAY = 86_400
app = typer.Typer(
    help="Registration tokens, with which machines join the fleet.",
    epilog=examples('qb token create --nodes "acme-*" --expires 1d --uses 3', "qb token list"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog=examples('qb token create --nodes "acme-*" --expires 1d --uses 3', "qb token create --push"))
def create(
    ctx: typer.Context,
    nodes: Annotated[str, typer.Option(metavar="GLOB", help="Names that it lets in.")] = "*",
    expires: Annotated[
        int | None, typer.Option(parser=duration, metavar="TIME", help="Good for 1d, 12h, ...; default for ever.")
    ] = None,
    uses: Annotated[
        int | None, typer.Option(metavar="N", help="New names that it lets in; coming back is free.")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Let nodes name the address to push to.")] = False,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a registration token, and print it this once."""
    from qb.cli.connection import connected
    from qb.cli.key_views import token_sheet
    from qb.cli.output import Secret, show_one
    from qb.cli.refusals import checked
    from qb.contract.keys import TokenCreate

    with checked({"name_glob": "--nodes", "max_uses": "--uses", "expires_in_days": "--expires"}):
        days = None if expires is None else expires / DAY
        body = TokenCreate(
            description=description, name_glob=nodes, allows_push=push, max_uses=uses, expires_in_days=days
        )
    with connected(ctx) as client:
        made = client.admin.create_token(body)
    sheet = token_sheet(made, datetime.now(UTC)) | {"Token": Secret(made.token)}
    show_one(made, sheet, output)


@app.command("list", epilog=examples("qb token list", "qb token list -o json"))
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the registration tokens."""
    from qb.cli.connection import connected
    from qb.cli.key_views import TOKENS
    from qb.cli.output import show_many

    with connected(ctx) as client:
        tokens = client.admin.tokens()
    show_many(tokens, TOKENS, output, now=datetime.now(UTC), empty="no tokens: nobody can join")


@app.command(epilog=examples("qb token remove 6f1c"))
def remove(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, or its first characters.")],
    output: Output = Format.TABLE,
) -> None:
    """Let nobody join with a token any more; who has joined stays."""
    from qb.cli import lookup
    from qb.cli.connection import connected
    from qb.cli.key_views import token_sheet
    from qb.cli.output import show_one

    with connected(ctx) as client:
        found = client.admin.remove_token(lookup.token(client, token).id)
    show_one(found, token_sheet(found, datetime.now(UTC)), output)
