"""`qb inventory`: the fleet as an Ansible inventory, and an inventory file as the fleet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qb.cli.options import Format, Output, examples

if TYPE_CHECKING:
    from qb.cli.exits import CliError, Exit
    from qb.inventory.plan import Step
    from qb.inventory.wanted import Wanted

app = typer.Typer(
    help="The fleet as an Ansible inventory, and back.\n\nAn inventory file can say what the fleet shall be.",
    epilog=examples("qb inventory sync --check", "ansible -i inventory/qb_nodes.py nodes -m ping"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog=examples("qb inventory list --json", "qb inventory list -o yaml"))
def list_(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -o json, as Ansible's scripts want it.")] = False,
    output: Output = Format.JSON,
) -> None:
    """Print the registered nodes as a dynamic inventory.

    Its groups are mode, dispatch, status, state, os and tag.
    """
    from qb.cli.connection import connected, current
    from qb.cli.exits import CliError, Exit
    from qb.cli.output import emit_data, emit_line
    from qb.inventory.dynamic import dynamic_inventory

    if output not in (Format.JSON, Format.YAML):
        raise CliError("an inventory is printed as json or yaml", "`qb node list` shows a table", Exit.USAGE)
    known = current(ctx)
    ca_file = str(Path(known.ca_file).resolve()) if known.ca_file else None
    with connected(ctx) as client:
        found = dynamic_inventory(client.nodes(), client.url, ca_file)
    if as_json:
        emit_line(found)
    else:
        emit_data(found, output)


@app.command(epilog=examples("qb inventory sync --check --diff", "qb inventory sync --from fleet.yml --prune"))
def sync(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="The inventory; hosts of its group `nodes` count.")
    ] = Path("inventory/fleet.yml"),
    check: Annotated[bool, typer.Option("--check", help="Print the plan and change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove nodes that the file does not name.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show each value before and after.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Remove even nodes that run a task.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Make the registry have the nodes of a file.

    What the inventory file does not set is left as it is.

    A second run has nothing to do. Nodes that joined by themselves stay, unless --prune is given.
    """
    from qb.cli.connection import connected
    from qb.cli.exits import CliError, Exit
    from qb.cli.inventory_views import show, summary
    from qb.inventory.plan import Act, plan
    from qb.inventory.sync import busy
    from qb.inventory.wanted import InvalidInventory

    wanted = _read(source)
    with connected(ctx) as client:
        try:
            steps = plan(wanted, client.nodes(), prune=prune)
        except InvalidInventory as error:
            raise _not_applied(error, Exit.CONFLICT) from error
        held = [] if force else busy(client, steps)
        show(steps, output, diff=diff)
        if held:
            names = ", ".join(f"{each.name} (task {each.task_id[:8]})" for each in held)
            raise CliError(f"cannot remove nodes that run a task: {names}", _WAIT_OR_FORCE, Exit.CONFLICT)
        todo = [step for step in steps if step.act is not Act.LEAVE]
        if not check:
            _apply(client, todo, force=force)
    if output.for_people:
        typer.echo(summary(todo, check=check), err=True)


@app.command(epilog=examples("qb inventory runs", "qb inventory runs --limit 1 -o json"))
def runs(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=500, metavar="N", help="How many.")] = 20,
    output: Output = Format.TABLE,
) -> None:
    """List what `qb provision` did, the newest first.

    Each host's counts are in -o json.
    """
    from datetime import UTC, datetime

    from qb.cli.connection import connected
    from qb.cli.inventory_views import RUNS
    from qb.cli.output import show_many

    with connected(ctx) as client:
        found = client.admin.provision_runs(limit=limit)
    show_many(found, RUNS, output, now=datetime.now(UTC), empty="no run yet: `qb provision` makes one")


_WAIT_OR_FORCE = "nothing was changed; drain them and wait (`qb node drain`), or give --force"


def _read(source: Path) -> "list[Wanted]":
    from qb.cli.exits import CliError, Exit
    from qb.inventory.listing import MEND, NoAnsible, read_inventory
    from qb.inventory.wanted import InvalidInventory, wanted_nodes

    try:
        return wanted_nodes(read_inventory(source))
    except NoAnsible as error:
        raise CliError(str(error), MEND) from error
    except InvalidInventory as error:
        raise _not_applied(error, Exit.FAILURE) from error


def _not_applied(error: Exception, exit_code: "Exit") -> "CliError":
    from qb.cli.exits import CliError

    return CliError("\nerror: ".join(map(str, error.args)), "nothing was changed", exit_code)


def _apply(client: Any, todo: "Sequence[Step]", *, force: bool) -> None:
    from qb.cli.exits import CliError
    from qb.cli.refusals import as_cli_error
    from qb.client import ClientError
    from qb.inventory.sync import carry_out

    for done, step in enumerate(todo):
        try:
            carry_out(client, step, force=force)
        except ClientError as error:
            said = as_cli_error(error)
            so_far = "nothing was changed" if not done else f"{done} of {len(todo)} steps were done; run it again"
            raise CliError(f"{step.act} {step.name}: {said.message}", so_far, said.exit_code) from error
