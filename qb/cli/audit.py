"""`qb audit`: who did what, and which credentials were refused."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from qb.cli.options import Format, Output
from qb.contract.acts import Action


def audit(
    ctx: typer.Context,
    action: Annotated[Action | None, typer.Option(help="Only acts of this kind.", metavar="ACTION")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many, the newest first.")] = 50,
    output: Output = Format.TABLE,
) -> None:
    """List who did what, and what was refused.

    The newest comes first; refused are credentials.
    """
    from qb.cli.connection import connected
    from qb.cli.key_views import AUDIT
    from qb.cli.output import show_many

    filters = {"limit": str(limit)} | ({"action": action.value} if action else {})
    with connected(ctx) as client:
        entries = client.admin.audit(**filters)
    show_many(entries, AUDIT, output, now=datetime.now(UTC), empty="nothing yet")
