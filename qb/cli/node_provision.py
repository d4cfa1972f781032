"""`qb node add --provision`: make the machine the node that was just registered."""

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import typer

from qb.contract.nodes import NodeCreate
from qb.contract.states import NodeDispatch, NodeMode

NODES, REGISTERED = Path("playbooks/nodes.yml"), Path("inventory/qb_nodes.py")
"""What turns one registered machine into a node."""

OFF = ("false", "no", "off", "0")


def inventories(given: Path | None) -> list[Path]:
    """The registered nodes, and the fleet's own file, which has the control plane and counts more."""
    from qb.cli.provision import INVENTORY

    if given is not None:
        return [REGISTERED, given]
    return [REGISTERED, INVENTORY] if INVENTORY.exists() else [REGISTERED]


def may_be_provisioned(ctx: typer.Context, node: NodeCreate, sources: list[Path]) -> None:
    """Raise CliError when the playbook cannot succeed: to be asked before the node is registered."""
    from qb.cli.exits import CliError, Exit
    from qb.cli.provision import may_begin

    may_begin(ctx, NODES, sources)
    if node.mode is not NodeMode.PUSH:
        return
    listing = _listing(ctx, node.name, sources)
    needed = _needed(listing.get("_meta", {}).get("hostvars", {}).get(node.name, {}), node.dispatch)
    if needed and not listing.get("control_plane"):
        raise CliError(
            f"--provision: no host is in the group control_plane of {' or '.join(map(str, sources))}",
            f"name the inventory that has it with -i, or set {needed}; nothing was registered",
            Exit.USAGE,
        )


def provision(ctx: typer.Context, name: str, sources: list[Path]) -> None:
    """Run the playbook on the registered node. Raises CliError."""
    from qb.cli.provision import run_playbook

    command = ["qb", "provision", "--playbook", str(NODES)]
    command += [word for each in sources for word in ("-i", str(each))]
    again = f"the node is registered; mend it, then: {shlex.join([*command, '--limit', name])}"
    run_playbook(ctx, NODES, sources, limit=name, check=False, again=again)


def _needed(variables: dict[str, Any], dispatch: NodeDispatch) -> str | None:
    """The variable without which the roles must know the control plane's host."""
    if dispatch is NodeDispatch.ANSIBLE:
        return (
            None if variables.get("runner_dispatch_key") else "runner_dispatch_key (its host key is then yours to add)"
        )
    if variables.get("firewall_push_from") or str(variables.get("qb_firewall", True)).lower() in OFF:
        return None
    return "firewall_push_from"


def _listing(ctx: typer.Context, name: str, sources: list[Path]) -> dict[str, Any]:
    """The inventory as it will be, with the new node. Raises CliError."""
    from qb.cli.exits import CliError
    from qb.cli.provision import passed_on
    from qb.inventory.listing import MEND, NoAnsible, read_inventory
    from qb.inventory.wanted import InvalidInventory

    with tempfile.TemporaryDirectory(prefix="qb-node-") as folder:
        new = Path(folder) / "new.json"
        new.write_text(json.dumps({"nodes": {"hosts": {name: {}}}}))
        try:
            return read_inventory(new, *sources, settings=passed_on(ctx))
        except NoAnsible as error:
            raise CliError(str(error), MEND) from error
        except InvalidInventory as error:
            raise CliError("\nerror: ".join(map(str, error.args)), "nothing was registered") from error
