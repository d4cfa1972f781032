"""`qb podman`, `qb up` and `qb demo`: the whole system on one machine, from a checkout."""

from pathlib import Path
from typing import Annotated

import typer

from qb.cli.options import examples


def register(app: typer.Typer) -> None:
    """Add the three commands; what they need is imported when they run."""
    app.command(epilog=examples("qb up", "qb up --state /srv/qb-up"))(up)
    app.command(epilog=examples("qb demo"))(demo)
    app.command(epilog=examples("qb podman"))(podman)


def up(
    state: Annotated[Path | None, typer.Option(help="Where databases and logs are kept.")] = None,
) -> None:
    """Start all parts on this machine; Ctrl-C stops them.

    Control plane, dashboard and one runner, on free ports.
    """
    from qb.demo import commands

    commands.up(state)


def demo() -> None:
    """Run a real task in a container on this machine.

    From nothing to the agent's report; nothing is left running.
    """
    from qb.demo import commands

    commands.demo()


def podman() -> None:
    """Make podman work on this machine, and say how."""
    from qb.demo import commands

    commands.prepare_podman()
