"""`qb provision`: run the playbooks on the fleet, and keep a record of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qb.cli.exits import CliError
    from qb.contract.provisioning import ProvisionRunCreate

PLAYBOOK, INVENTORY = Path("playbooks/site.yml"), Path("inventory/fleet.yml")
AGAIN = "mend it and run it again: what is done is not done twice"


def provision(
    ctx: typer.Context,
    limit: Annotated[str | None, typer.Option(metavar="GLOB", help="Only hosts that match.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what would change, and change nothing.")] = False,
    playbook: Annotated[Path, typer.Option(metavar="FILE", help="The playbook.")] = PLAYBOOK,
    inventory: Annotated[
        list[Path] | None,
        typer.Option("-i", "--inventory", metavar="FILE", help=f"The inventory (repeatable); default {INVENTORY}."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Record the run; a first control plane cannot yet.")
    ] = True,
) -> None:
    """Run the playbooks on the fleet.

    Through ansible-runner, with a live table of hosts and tasks; the run is recorded. Ends with status 1,
    naming the host and the task, when one failed.
    """
    run_playbook(ctx, playbook, inventory or [INVENTORY], limit=limit, check=check, record=record)


def may_begin(ctx: typer.Context, playbook: Path, inventories: Sequence[Path], *, record: bool = True) -> None:
    """Raise CliError when a file is missing, or the run could not be recorded."""
    from qb.cli.connection import connected
    from qb.cli.exits import CliError, Exit

    for path, option in ((playbook, "--playbook"), *((each, "--inventory") for each in inventories)):
        if not path.exists():
            raise CliError(f"{path}: there is no such file", f"name one with {option}", Exit.USAGE)
    if record:
        with connected(ctx) as client:
            client.admin.provision_runs(limit=1)  # asks for the key that recording does


def run_playbook(
    ctx: typer.Context,
    playbook: Path,
    inventories: Sequence[Path],
    *,
    limit: str | None,
    check: bool,
    record: bool = True,
    again: str = AGAIN,
) -> None:
    """What `qb provision` does; `again` is the hint after a failure. Raises CliError."""
    from qb.cli.exits import CliError
    from qb.inventory.listing import MEND
    from qb.provision.live import Board
    from qb.provision.progress import Progress
    from qb.provision.run import NoRunner, Request, provision

    may_begin(ctx, playbook, inventories, record=record)
    settings = passed_on(ctx) if record else {}
    progress = Progress()
    board = Board(progress)
    try:
        with board.shown():
            ran = provision(Request(playbook, inventories, limit, check, settings), progress, board.heard)
    except NoRunner as error:
        raise CliError(str(error), MEND) from error
    _ended(ran, _recorded(ctx, ran) if record else None, again)


def _recorded(ctx: typer.Context, ran: "ProvisionRunCreate") -> "CliError | None":
    """Record a run that has ended; why that did not go."""
    from qb.cli.connection import connected
    from qb.cli.exits import CliError

    try:
        with connected(ctx) as client:
            kept = client.admin.record_provision_run(ran)
    except CliError as error:
        return error
    typer.echo(f"recorded as {kept.id}", err=True)
    return None


def _ended(ran: "ProvisionRunCreate", unrecorded: "CliError | None", again: str) -> None:
    """Say what came of the playbook, and only then of the record. Raises CliError for either."""
    from qb.cli.exits import CliError, Exit
    from qb.contract.provisioning import ProvisionOutcome

    also = "" if unrecorded is None else f"\nwarning: the run is not recorded: {unrecorded.message}"
    if ran.outcome is ProvisionOutcome.INTERRUPTED:
        raise CliError(f"interrupted; hosts are as far as the table shows{also}", again, Exit.INTERRUPTED)
    if ran.outcome is ProvisionOutcome.FAILED:
        raise CliError((ran.message or "the playbook failed") + also, again)
    if unrecorded is not None:
        raise CliError(
            f"the playbook succeeded, but the run is not recorded: {unrecorded.message}",
            unrecorded.hint,
            unrecorded.exit_code,
        )


def passed_on(ctx: typer.Context) -> dict[str, str]:
    """What `--url`, `--profile` and the like have chosen, for playbooks and the dynamic inventory."""
    from qb.cli.connection import current

    known = current(ctx)
    ca_file = str(Path(known.ca_file).resolve()) if known.ca_file else None
    given = {"QB_URL": known.url, "QB_API_KEY": known.api_key, "QB_CA_FILE": ca_file}
    return {name: value for name, value in given.items() if value}
