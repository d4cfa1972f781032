"""What `qb provision` adds to bare ansible-playbook, and how long the inventory of a large fleet takes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.bench.figures import ROUNDS, Figure, Say, most, ratio
from tests.bench.seed import add_nodes, filling
from tests.fixtures_server import QB, Server, new_server

TOP = Path(__file__).parents[2]
HOSTS = 3
PROVISION_TIMES = 1.5
NODES = 2_000
LIST_SECONDS = 2.0
PATIENCE = 300.0
PLAY = [{"name": "Make podman work", "hosts": "nodes", "gather_facts": True, "roles": [{"role": "podman"}]}]


def provisioning(say: Say) -> list[Figure]:
    """The role podman, smoke container included, on hosts that have it: with `qb provision` and bare, in turn."""
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        place = Path(folder)
        server = new_server(place / "qb")
        server.start()
        try:
            ours, bare = _commands(place)
            env = _env(server)
            _seconds(bare, env)  # what the hosts lack is brought now
            pairs = [(_seconds(ours, env), _seconds(bare, env)) for _ in range(ROUNDS)]
        finally:
            server.stop()
    say(", ".join(f"{provision:.1f} against {playbook:.1f} s" for provision, playbook in pairs))
    name = f"`qb provision`, {HOSTS} provisioned hosts / ansible-playbook"
    return [ratio(name, pairs, "s", PROVISION_TIMES, least=False)]


def inventory(say: Say) -> list[Figure]:
    """The dynamic inventory of a large fleet, alone and as Ansible takes it."""
    script = TOP / "inventory" / "qb_nodes.py"
    with tempfile.TemporaryDirectory(prefix="qb-bench-") as folder:
        server = new_server(Path(folder) / "qb")
        with filling(server.data_dir) as db:
            add_nodes(db, NODES)
        server.start()
        try:
            env = _env(server)
            listed = json.loads(_run([sys.executable, str(script), "--list"], env))
            if len(listed["nodes"]["hosts"]) != NODES:
                raise RuntimeError(f"the inventory has {len(listed['nodes']['hosts'])} nodes of {NODES}")
            alone = [_seconds([sys.executable, str(script), "--list"], env) for _ in range(ROUNDS)]
            command = [f"{sys.prefix}/bin/ansible-inventory", "-i", str(script), "--list"]
            ansible = [_seconds(command, env) for _ in range(ROUNDS)]
        finally:
            server.stop()
    say(f"alone {alone}, by ansible-inventory {ansible}")
    return [
        most(f"inventory of {NODES:,} nodes", alone, "s", LIST_SECONDS),
        most(f"ansible-inventory of {NODES:,} nodes", ansible, "s", LIST_SECONDS),
    ]


def _commands(place: Path) -> tuple[list[str], list[str]]:
    """`qb provision` and ansible-playbook, for the same play on the same hosts: this machine, by several names."""
    (place / "playbooks").mkdir()
    (place / "roles").symlink_to(TOP / "roles")
    (place / "ansible.cfg").symlink_to(TOP / "ansible.cfg")
    here = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    hosts = {f"host-{number}": here for number in range(HOSTS)}
    playbook, inventory = place / "playbooks" / "site.yml", place / "fleet.yml"
    playbook.write_text(yaml.safe_dump(PLAY))
    inventory.write_text(yaml.safe_dump({"nodes": {"hosts": hosts}}))
    ours = [str(QB), "provision", "-i", str(inventory), "--playbook", str(playbook)]
    return ours, [f"{sys.prefix}/bin/ansible-playbook", "-i", str(inventory), str(playbook)]


def _env(server: Server) -> dict[str, str]:
    known = {"QB_URL": server.url, "QB_API_KEY": server.admin_key, "ANSIBLE_NOCOLOR": "1"}
    known |= {"ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(TOP / "roles")}
    return os.environ | known


def _seconds(command: Sequence[str], env: dict[str, str]) -> float:
    begun = time.perf_counter()
    _run(command, env)
    return time.perf_counter() - begun


def _run(command: Sequence[str], env: dict[str, str]) -> str:
    ran = subprocess.run(
        command,
        env=env,
        cwd=TOP,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{Path(command[0]).name} fails: {(ran.stderr or ran.stdout).strip()[-500:]}")
    return ran.stdout
