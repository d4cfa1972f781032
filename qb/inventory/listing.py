"""An inventory as Ansible itself reads it: ranges, group_vars and precedence are Ansible's business, not ours."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qb.inventory.wanted import InvalidInventory

SECONDS = 60
MISSING = "Ansible is not installed here"
MEND = "install it: pip install 'all-time-quarterback[ops]'"


class NoAnsible(Exception):
    """Ansible is not installed."""


def ansible_command(name: str) -> str:
    """The path of one of Ansible's commands, this environment's own first. Raises NoAnsible."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join((beside, os.environ.get("PATH", ""))))
    if found is None:
        raise NoAnsible(MISSING)
    return found


def read_inventory(path: Path, *more: Path, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What `ansible-inventory --list` says of one file or several. Raises NoAnsible and InvalidInventory.

    `settings` are variables of the environment that a dynamic inventory needs, such as QB_URL.
    """
    if not path.exists():
        raise InvalidInventory(f"{path}: there is no such file; name one with --from")
    sources = [word for each in (path, *more) for word in ("-i", str(each))]
    command = [ansible_command("ansible-inventory"), *sources, "--list"]
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    strict = {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "1", "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
    try:
        ran = subprocess.run(
            command,
            env=os.environ
            | strict
            | {"PATH": beside, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0"}
            | dict(settings or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidInventory(f"{path}: Ansible does not read it within {SECONDS} seconds") from error
    if ran.returncode:
        raise InvalidInventory(f"{path}: {_why(ran.stderr)}")
    found = json.loads(ran.stdout)
    return found if isinstance(found, dict) else {}


def _why(text: str) -> str:
    """The line of Ansible's complaint that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("[ERROR]:")] or [line for line in lines if "rror" in line]
    return (errors or lines or ["Ansible cannot read it"])[0].removeprefix("[ERROR]:").strip()
