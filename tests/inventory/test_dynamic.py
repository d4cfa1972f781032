"""The dynamic inventory, as Ansible's own commands take it."""

import json
from pathlib import Path

import certifi

from qb.contract.nodes import NodeCreate, Register
from tests.fixtures_server import Server
from tests.inventory.conftest import INVENTORY, Run

EVIL = "{{ lookup('pipe', 'touch /tmp/qb-evil') }}"


def test_nodes_are_grouped_and_reached(server: Server, run: Run) -> None:
    with server.client() as client, server.joining() as joining:
        local = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
        client.create_node(NodeCreate(name="here", tags={"site": "berlin-mitte"}, address="127.0.0.1", ansible=local))
        joining.register(Register(hostname="self-made", os_type="Debian 12", wire=2))
    graph = run("ansible-inventory", "-i", INVENTORY, "--graph")
    assert graph.returncode == 0, graph.stderr
    for group in ("nodes", "mode_pull", "status_idle", "status_offline", "os_Debian_12", "tag_site_berlin_mitte"):
        assert f"  |--@{group}:" in graph.stdout
    assert graph.stdout.count("--self-made") == 5, "in nodes, mode, status, state and os"
    ping = run("ansible", "-i", INVENTORY, "tag_site_berlin_mitte", "-m", "ping")
    assert ping.returncode == 0, ping.stdout + ping.stderr
    assert "ping: pong" in ping.stdout


def test_what_a_node_says_of_itself_is_never_a_template(server: Server, run: Run) -> None:
    with server.joining() as joining:
        joining.register(
            Register(hostname="evil", os_type=EVIL, tags={"t": EVIL, EVIL: "t"}, capabilities=[EVIL], wire=2)
        )
    shown = run("ansible", "-i", INVENTORY, "-c", "local", "evil", "-m", "debug", "-a", "var=qb_os")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "lookup(" in shown.stdout, "shown as it is"
    tags = run("ansible", "-i", INVENTORY, "-c", "local", "evil", "-m", "debug", "-a", "msg={{ qb_tags }}")
    assert "lookup(" in tags.stdout, tags.stdout + tags.stderr


def test_playbooks_learn_of_what_their_nodes_are_nodes(server: Server, run: Run, tmp_path: Path) -> None:
    with server.client() as client:
        client.create_node(NodeCreate(name="here", address="127.0.0.1"))
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(Path(certifi.where()).read_text())
    said = run("ansible", "-i", INVENTORY, "-c", "local", "here", "-m", "debug", "-a", "msg={{ qb_url }}")
    assert server.url in said.stdout, said.stdout + said.stderr
    listed = json.loads(run("qb", "inventory", "list", QB_CA_FILE=str(ca_file)).stdout)
    assert listed["all"]["vars"] == {"qb_url": server.url, "qb_ca_file": str(ca_file)}


def test_the_inventory_of_an_api_that_is_not_there_fails_in_one_line(run: Run) -> None:
    ran = run("qb", "inventory", "list", "--json", QB_URL="http://127.0.0.1:9")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert len(ran.stderr.splitlines()) == 2


def test_the_inventory_of_an_empty_fleet_is_empty(run: Run) -> None:
    listed = json.loads(run("qb", "inventory", "list").stdout)
    assert listed["nodes"] == {"hosts": []}
