"""ansible-playbook as an operator runs it, over ssh, and what it says at the end."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ansible.machines import PASSWORD, USER, Machine

TOP = Path(__file__).parents[2]
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a run printed, its exit status, how long it took, and for each host what the recap counts."""

    status: int
    output: str
    seconds: float

    def counted(self, what: str) -> dict[str, int]:
        """`what` (ok, changed, unreachable, failed) by host."""
        place = ("ok", "changed", "unreachable", "failed").index(what) + 2
        return {found[1]: int(found[place]) for found in RECAP.finditer(self.output)}

    def good(self) -> "Outcome":
        """Itself, when nothing failed."""
        assert self.status == 0, self.output[-6000:]
        return self


@dataclass
class Operator:
    """Who runs playbooks: an inventory, an ssh key, a folder for what is theirs."""

    folder: Path
    machines: dict[str, Machine]

    @property
    def inventory(self) -> Path:
        """The inventory's file."""
        return self.folder / "inventory.yml"

    def write_inventory(self, groups: dict[str, dict[str, dict[str, Any]]], **more: Any) -> None:
        """Write it: variables by group and host, `more` for all of them."""
        known = self.folder / "known_hosts"
        known.write_text("".join(machine.host_key() for machine in self.machines.values() if machine.address))
        common = {
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(self.folder / "id"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o ControlPath={self.folder}/%C",
            "ansible_become_password": PASSWORD,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        children = {
            group: {"hosts": {name: {"ansible_host": self.machines[name].address} | own for name, own in hosts.items()}}
            for group, hosts in groups.items()
        }
        # JSON is YAML
        self.inventory.write_text(json.dumps({"all": {"vars": common | more, "children": children}}, indent=1))

    def play(self, playbook: str, *options: str, timeout: float = 1200) -> Outcome:
        """Run one of the project's playbooks."""
        command = [f"{sys.prefix}/bin/ansible-playbook", "-i", str(self.inventory), f"playbooks/{playbook}", *options]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "QB_"))}
        env["ANSIBLE_CACHE_PLUGIN_CONNECTION"] = str(self.folder / "facts")
        env |= {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=TOP,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Outcome(done.returncode, done.stdout + done.stderr, time.monotonic() - began)
