"""`qb webhook`: who is told of what happens to tasks."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qb.cli.options import Format, Output, examples
from qb.contract.states import ENDS, WebhookEvent

if TYPE_CHECKING:
    from qb.contract.webhooks import Webhook

app = typer.Typer(
    help="Who is told of what happens to tasks.",
    epilog=examples("qb webhook add https://example.org/hook", "qb webhook list"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    epilog=examples(
        "qb webhook add https://example.org/hook", "qb webhook add https://example.org/hook --event task.error"
    )
)
def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to POST to; it must answer 2xx.")],
    event: Annotated[
        list[WebhookEvent] | None,
        typer.Option(metavar="EVENT", help="Such as task.error (repeatable); default: every end."),
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Tell an address of events.

    The secret that signs them is printed this once.
    """
    from qb.cli.connection import connected
    from qb.cli.output import Secret, show_one
    from qb.cli.refusals import checked
    from qb.contract.webhooks import WebhookCreate

    with checked({"url": "URL", "events": "--event", "description": "--description"}):
        body = WebhookCreate(url=url, events=event or list(ENDS), description=description)
    with connected(ctx) as client:
        made = client.create_webhook(body)
    fields = {"ID": made.id, "URL": made.url, "Events": ", ".join(made.events)}
    show_one(made, {**fields, "Secret": Secret(made.secret)}, output)


@app.command("list", epilog=examples("qb webhook list", "qb webhook list -o wide"))
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the webhooks, and how their deliveries fare."""
    from qb.cli.connection import connected

    with connected(ctx) as client:
        found = client.webhooks()
    _listed(found, output)


@app.command(epilog=examples("qb webhook remove 3f2a9c41"))
def remove(
    ctx: typer.Context,
    webhook: Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of the webhook, or its first characters.")],
    output: Output = Format.TABLE,
) -> None:
    """Tell a webhook nothing more."""
    from qb.cli.connection import connected
    from qb.cli.exits import CliError, Exit

    with connected(ctx) as client:
        meant = [each for each in client.webhooks() if each.id.startswith(webhook)]
        if len(meant) != 1:
            said = f"no webhook {webhook}" if not meant else f"{len(meant)} webhooks begin with {webhook}"
            raise CliError(said, "`qb webhook list` shows them", Exit.NOT_FOUND)
        gone = client.remove_webhook(meant[0].id)
    _listed([gone], output)


def _listed(found: "list[Webhook]", output: Format) -> None:
    from qb.cli.output import show_many
    from qb.cli.views import WEBHOOKS

    show_many(found, WEBHOOKS, output, now=datetime.now(UTC), empty="no webhooks: `qb webhook add URL` makes one")
