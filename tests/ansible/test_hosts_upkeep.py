"""What comes after the first day: rotation, upgrade, trouble, the end. Each changes the fleet; the order counts."""

import re
import shutil
import threading
from pathlib import Path

import pytest

from tests.ansible.conftest import FIGURES
from tests.ansible.fleet import NODES, Fleet
from tests.ansible.playbook import TOP, Outcome

IDENTITY = "sha256sum < /var/lib/qb-runner/runner/node.json"
RELEASES = "/opt/all-time-quarterback/runner/releases"


def test_rotating_keys_keeps_every_node_at_work(fleet: Fleet) -> None:
    before = {name: fleet.machine(name).sh(IDENTITY) for name in NODES}
    task = fleet.begun("vault")
    fleet.operator.play("rotate_keys.yml", "-vvv").good()
    fleet.open_gate("vault")
    assert fleet.becomes(task.id, "success", "error").status == "success"
    for name in NODES:
        fleet.runs(name)
        assert fleet.machine(name).sh(IDENTITY) != before[name], name


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the release that comes after this one."""
    folder = tmp_path_factory.mktemp("next") / "checkout"
    folder.mkdir()
    for name in ("qb", "runner", "mcp_status", "datasette", "playbooks"):
        shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
        shutil.copy(TOP / name, folder)
    (folder / "README.md").write_text("The next release.\n")
    return folder


def test_an_upgrade_leaves_a_running_task_alone(fleet: Fleet, next_release: Path) -> None:
    edge = fleet.machine("edge")
    task = fleet.begun("edge")
    release = {name: fleet.machine(name).sh(f"readlink {RELEASES}/../current") for name in NODES}
    before = edge.sh("systemctl show -P MainPID qb-runner.service").strip()
    options = (f"-epackage_checkout={next_release}", f"-epackage_cache={TOP}/.state/wheelhouse")
    outcomes: list[Outcome] = []
    upgrade = threading.Thread(target=lambda: outcomes.append(fleet.operator.play("upgrade.yml", *options)))
    upgrade.start()
    try:
        wait = f"until [ $(systemctl show -P MainPID qb-runner.service) != {before} ]; do sleep 1; done"
        edge.sh(f"timeout 240 sh -c '{wait}'", timeout=250)
        fleet.becomes(task.id, "running")
        with fleet.client() as client:
            assert client.node("edge").state == "draining"
            assert client.node("cloud").state == "active", "one after the other"
    finally:
        fleet.open_gate("edge")
        upgrade.join(400)
    assert outcomes
    outcomes[0].good()
    FIGURES.append(f"upgrade.yml on {len(NODES)} nodes, a task running: {outcomes[0].seconds:.0f} s")
    ended = fleet.becomes(task.id, "success", "error")
    assert (ended.status, ended.attempt) == ("success", 1)
    with fleet.client() as client:
        assert {node.state for node in client.nodes()} == {"active"}
    for name in NODES:
        assert fleet.machine(name).sh(f"readlink {RELEASES}/../current") != release[name], name
        fleet.runs(name)


def test_a_full_disk_stops_the_rollout_and_the_next_run_mends_it(fleet: Fleet) -> None:
    edge = fleet.machine("edge")
    edge.sh(f"mount -t tmpfs -o size=1m none {RELEASES}; head -c 1000000 /dev/zero >{RELEASES}/full")
    try:
        stopped = fleet.operator.play("upgrade.yml", "--limit", "edge,cloud")
    finally:
        edge.sh(f"umount {RELEASES}")
    assert stopped.status != 0
    assert "No space left on device" in stopped.output
    assert stopped.counted("failed")["edge"] == 1
    assert "cloud" not in stopped.counted("ok"), "the first failure ends the rollout"
    with fleet.client() as client:
        assert {node.name: node.state for node in client.nodes()} == {
            "edge": "draining",
            "cloud": "active",
            "vault": "active",
        }
    fleet.operator.play("upgrade.yml", "--limit", "edge").good()
    with fleet.client() as client:
        assert client.node("edge").state == "active", "the first run drained it, so that the next resumes it"
    fleet.runs("edge")


def test_what_has_changed_is_put_to_use_though_the_run_fails_later(fleet: Fleet) -> None:
    edge = fleet.machine("edge")
    before = edge.sh("systemctl show -P MainPID qb-runner.service")
    options = ("--limit", "edge", "-e", "fleet_api_url=http://127.0.0.1:9")
    failed = fleet.operator.play("nodes.yml", *options, "-e", '{"runner_settings": {"drain_seconds": 61}}')
    assert failed.status != 0
    assert "http://127.0.0.1:9/nodes/edge" in failed.output
    assert edge.sh("systemctl show -P MainPID qb-runner.service") != before
    fleet.operator.play("nodes.yml", "--limit", "edge").good()
    fleet.runs("edge")


def test_a_node_moves_to_another_address_of_its_control_plane(fleet: Fleet) -> None:
    edge = fleet.machine("edge")
    edge.sh(f"echo {fleet.plane.address} plane.test >>/etc/hosts")
    moved = "-erunner_orchestrator_url=http://plane.test:8080"
    fleet.operator.play("nodes.yml", "--limit", "edge", moved).good()
    with fleet.client() as client:
        node = client.node("edge")
    assert (node.status != "offline", node.takeover_allowed) == (True, False)
    fleet.operator.play("nodes.yml", "--limit", "edge").good()
    fleet.runs("edge")


def test_a_wrong_sudo_password_and_an_unreachable_host_fail_clearly(fleet: Fleet) -> None:
    wrong = fleet.operator.play("nodes.yml", "-e", "ansible_become_password=wrong")
    assert wrong.status != 0
    assert re.search("incorrect sudo password", wrong.output, re.IGNORECASE)
    lost = "-eansible_host=192.0.2.1 ansible_ssh_timeout=2"
    gone = fleet.operator.play("nodes.yml", "--limit", "edge", lost, timeout=120)
    assert gone.counted("unreachable") == {"edge": 1}
    assert "192.0.2.1" in gone.output


def test_a_half_provisioned_host_is_mended_by_the_next_run(fleet: Fleet) -> None:
    edge, vault = fleet.machine("edge"), fleet.machine("vault")
    release = edge.sh(f"readlink {RELEASES}/../current").strip()
    edge.sh(f"rm -r {release}/.complete {release}/lib/python3*/site-packages/structlog; systemctl stop qb-runner")
    vault.sh("rm -r /usr/local/lib/all-time-quarterback /var/lib/qb-runner/.ssh /etc/all-time-quarterback")
    fleet.operator.play("nodes.yml", "--limit", "edge,vault").good()
    fleet.runs("edge")
    fleet.runs("vault")


def test_decommissioning_leaves_nothing_behind(fleet: Fleet) -> None:
    nobody = fleet.operator.play("decommission.yml")
    assert nobody.status != 0
    assert "say which: -e decommission_hosts=NAMES" in nobody.output
    fleet.operator.play("decommission.yml", "-e", "decommission_hosts=nodes").good()
    with fleet.client() as client:
        assert client.nodes() == []
    for name in NODES:
        for path in (
            "/var/lib/qb-runner",
            "/opt/all-time-quarterback/runner",
            "/etc/systemd/system/qb-runner.service",
            "/usr/local/lib/all-time-quarterback/dispatch",
            "/etc/systemd/system/qb-firewall.service",
            "/etc/all-time-quarterback/firewall.nft",
        ):
            assert fleet.machine(name).tries("test", "-e", path).returncode == 1, f"{name}: {path}"
        assert fleet.machine(name).tries("id", "qb-runner").returncode != 0
    assert fleet.machine("vault").address not in fleet.plane.sh("cat /var/lib/all-time-quarterback/.ssh/known_hosts")
    again = fleet.operator.play("decommission.yml", "-e", "decommission_hosts=nodes").good()
    assert {name: again.counted("changed")[name] for name in NODES} == dict.fromkeys(NODES, 0)
