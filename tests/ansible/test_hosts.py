"""Bare machines become a fleet, over ssh: what the first runs of site.yml did, and that it works."""

import re

import pytest

from tests.ansible.fleet import NODES, Fleet

CONTROL_PLANE_EXPOSURE, RUNNER_EXPOSURE = 2.0, 8.0
NOBODY = dict.fromkeys(("plane", *NODES), 0)


def test_check_mode_works_on_bare_machines_and_says_what_would_change(fleet: Fleet) -> None:
    assert fleet.checked.counted("failed") | NOBODY == fleet.checked.counted("failed") == NOBODY
    assert "would install" in fleet.checked.output


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    assert fleet.second.counted("changed") == NOBODY


@pytest.mark.parametrize(("name", "mode"), [("edge", "pull"), ("cloud", "push"), ("vault", "push")])
def test_a_node_runs_a_task_in_a_rootless_container(fleet: Fleet, name: str, mode: str) -> None:
    task = fleet.runs(name, "id -u; echo said by the agent")
    with fleet.client() as client:
        node = client.node(name)
    assert "said by the agent" in fleet.text(task)
    assert node.mode == mode
    # root in the container is the service user outside
    stored = fleet.machine(name).sh("stat -c %U /var/lib/qb-runner/.local/share/containers")
    assert stored.strip() == "qb-runner"


def test_the_inventorys_tags_and_slots_are_the_nodes(fleet: Fleet) -> None:
    with fleet.client() as client:
        nodes = {node.name: node for node in client.nodes()}
    assert {name: node.tags for name, node in nodes.items()} == {
        "edge": {"site": "acme"},
        "cloud": {},
        "vault": {"site": "vault"},
    }
    assert {name: node.slots for name, node in nodes.items()} == {"edge": 1, "cloud": 2, "vault": 1}


def test_no_secret_shows_even_with_vvv_and_diff(fleet: Fleet) -> None:
    key = fleet.admin_key()
    assert len(key) > 20
    assert key in fleet.plane.sh("cat /etc/all-time-quarterback/admin.json")
    for outcome in (fleet.checked, fleet.first, fleet.second):
        found = re.findall(r"qb[arntk]_[A-Za-z0-9_-]{8,}", outcome.output)
        assert not found, found
        assert key not in outcome.output
        assert "PRIVATE KEY" not in outcome.output


def test_secrets_on_machines_belong_to_one_reader(fleet: Fleet) -> None:
    edge, vault = fleet.machine("edge"), fleet.machine("vault")
    assert fleet.plane.sh("stat -c '%U %a' /etc/all-time-quarterback/admin.json") == "root 600\n"
    assert fleet.plane.sh("stat -c '%U %a' /var/lib/all-time-quarterback/.ssh/id_ed25519") == "qb 600\n"
    assert edge.sh("stat -c '%U %a' /etc/all-time-quarterback/runner.toml") == "qb-runner 600\n"
    assert edge.sh("stat -c '%U %a' /var/lib/qb-runner/runner/node.json") == "qb-runner 600\n"
    assert vault.sh("stat -c '%U %a' /var/lib/qb-runner/.ssh/authorized_keys") == "qb-runner 600\n"
    assert edge.tries("test", "-e", "/run/qb-runner-join.env").returncode == 1


def test_the_services_are_confined(fleet: Fleet) -> None:
    for unit in ("qb-control-plane", "qb-dashboard"):
        assert exposure(fleet.plane.sh(f"systemd-analyze security --no-pager {unit}")) <= CONTROL_PLANE_EXPOSURE, unit
    for name in ("edge", "cloud"):
        said = fleet.machine(name).sh("systemd-analyze security --no-pager qb-runner")
        assert exposure(said) <= RUNNER_EXPOSURE, name


def test_the_backup_service_makes_a_backup(fleet: Fleet) -> None:
    fleet.plane.sh("systemctl start qb-backup.service")
    assert fleet.plane.sh("ls /var/backups/all-time-quarterback").endswith(".tar\n")
    assert "qb-backup.timer" in fleet.plane.sh("systemctl list-timers --no-pager")


def test_the_dashboard_answers(fleet: Fleet) -> None:
    script = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8001/datasette/\").status)'"
    assert fleet.plane.sh(script).strip() == "200"


def exposure(said: str) -> float:
    """The figure at the end of what systemd-analyze says."""
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    return float(found[1])
