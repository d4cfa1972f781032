"""`qb inventory sync` against a running control plane, with Ansible reading the file."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_server import Server
from tests.inventory.conftest import ROOT, Run

PULL = {"qb_mode": "pull", "qb_tags": {"site": "berlin"}, "ansible_host": "198.51.100.11"}
SSH = {"qb_mode": "push", "qb_dispatch": "ansible", "ansible_host": "203.0.113.9", "ansible_port": 2222}
NOBODY = "http://127.0.0.1:9"


def registered(server: Server) -> dict[str, Any]:
    with server.client() as client:
        return {node.name: node.model_dump(mode="json") for node in client.nodes()}


def test_hosts_become_nodes_and_a_second_run_has_nothing_to_do(server: Server, sync: Run) -> None:
    ran = sync({"berlin-1": PULL, "vault-1": SSH})
    assert (ran.returncode, ran.stderr) == (0, "2 created\n")
    nodes = registered(server)
    assert (nodes["berlin-1"]["tags"], nodes["berlin-1"]["address"]) == ({"site": "berlin"}, "198.51.100.11")
    assert (nodes["vault-1"]["dispatch"], nodes["vault-1"]["ansible"]) == ("ansible", {"ansible_port": 2222})
    again = sync({"berlin-1": PULL, "vault-1": SSH})
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "nothing to do\n")
    changed = sync({"berlin-1": PULL | {"qb_tags": {"site": "bonn"}}, "vault-1": SSH}, "--diff")
    assert "change  berlin-1  tags: site=berlin -> site=bonn" in changed.stdout.replace("   ", "  ")
    assert registered(server)["berlin-1"]["tags"] == {"site": "bonn"}


def test_a_name_that_differs_from_a_registered_one_in_capitals_alone_is_refused(server: Server, sync: Run) -> None:
    sync({"berlin-1": PULL})
    ran = sync({"Berlin-1": PULL, "berlin-2": PULL})
    assert ran.returncode == 6
    first, *rest = ran.stderr.splitlines()
    assert first == "error: Berlin-1: node 'berlin-1' is registered, which differs from 'Berlin-1' in capitals alone"
    assert rest == ["hint: nothing was changed"]
    assert set(registered(server)) == {"berlin-1"}


def test_a_plan_with_values_fits_eighty_columns(sync: Run) -> None:
    ran = sync({"berlin-1": PULL}, "--check", "--diff", COLUMNS="80")
    lines = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert lines[1:] == ["create berlin-1 mode: pull", "tags: site=berlin", "address: 198.51.100.11"]


def test_check_shows_the_plan_and_changes_nothing(server: Server, sync: Run) -> None:
    ran = sync({"berlin-1": PULL}, "--check", "-o", "json")
    assert ran.returncode == 0
    assert [(step["action"], step["name"]) for step in json.loads(ran.stdout)] == [("create", "berlin-1")]
    assert registered(server) == {}


def test_the_documented_example_can_be_synced(server: Server, run: Run) -> None:
    ran = run("qb", "inventory", "sync", "--from", ROOT / "inventory" / "fleet.yml")
    assert (ran.returncode, ran.stderr) == (0, "4 created\n")
    assert {name: node["mode"] for name, node in registered(server).items()} == {
        "berlin-1": "pull",
        "berlin-2": "pull",
        "cloud-1": "push",
        "vault-1": "push",
    }


def test_a_node_that_joined_by_itself_is_left_and_pruned_only_on_demand(server: Server, sync: Run) -> None:
    with server.joining() as client:
        from qb.contract.nodes import Register

        client.register(Register(hostname="self-made", wire=2))
    left = sync({"berlin-1": PULL})
    assert "registered, not in the file" in left.stdout
    assert set(registered(server)) == {"berlin-1", "self-made"}
    pruned = sync({"berlin-1": PULL}, "--prune")
    assert (pruned.returncode, pruned.stderr) == (0, "1 removed\n")
    assert set(registered(server)) == {"berlin-1"}


def test_a_node_that_holds_a_task_is_removed_only_by_force(server: Server, sync: Run) -> None:
    with server.joining() as joining:
        from qb.contract.nodes import Register
        from qb.contract.tasks import TaskCreate

        made = joining.register(Register(hostname="busy", wire=2))
    with server.client() as admin, server.client(made.api_key) as node:
        admin.create_task(TaskCreate(prompt="x", target_node_name="busy"))
        assert node.poll(wait=5) is not None
    refused = sync({"berlin-1": PULL}, "--prune")
    assert refused.returncode == 6
    assert "error: cannot remove nodes that run a task: busy (task " in refused.stderr
    assert set(registered(server)) == {"busy"}, "nothing was applied"
    forced = sync({"berlin-1": PULL}, "--prune", "--force")
    assert forced.returncode == 0, forced.stderr
    assert set(registered(server)) == {"berlin-1"}


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ({"a": {"qb_mode": "shove"}}, "a: qb_mode: input should be 'push' or 'pull'"),
        ({"a": {"qb_slots": 0}}, "a: qb_slots: input should be greater than or equal to 1"),
        ({"a": {"qb_tags": {"rack": 4}}}, "a: qb_tags, rack: input should be a valid string (quote it)"),
        ({"a": {"qb_tag": {"rack": "4"}}}, "a: qb_tag is no variable of a node: did you mean qb_tags?"),
        ({"a": {"qb_mode": "push"}}, "a: qb_mode push needs qb_endpoint"),
        ({"a": {"qb_dispatch": "ansible"}}, "a: qb_dispatch ansible needs qb_mode push"),
        ({"a": {"ansible_port": "{{ x }}"}}, "a: ansible_port must be a port, 1 to 65535"),
        ({"a": {"qb_name": "same"}, "b": {"qb_name": "Same"}}, "b: its node's name 'Same' is that of a too"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_and_nothing_is_applied(
    server: Server, sync: Run, hosts: dict[str, Any], said: str
) -> None:
    ran = sync({"ok": PULL, **hosts})
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0].startswith(f"error: {said}")
    assert len(ran.stderr.splitlines()) == 2, ran.stderr
    assert registered(server) == {}


def test_a_file_that_ansible_cannot_read_and_one_that_is_not_there_are_told(
    server: Server, run: Run, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("nodes: [\n")
    for file in (broken, tmp_path / "missing.yml"):
        ran = run("qb", "inventory", "sync", "--from", file)
        assert ran.returncode == 1
        assert ran.stderr.startswith(f"error: {file}: ")
        assert "Traceback" not in ran.stderr


def test_an_api_that_is_not_there_is_one_line(sync: Run) -> None:
    ran = sync({"berlin-1": PULL}, QB_URL=NOBODY)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0].startswith(f"error: {NOBODY} does not answer")
    assert len(ran.stderr.splitlines()) == 2
