"""Bare machines become a fleet, over ssh. The last tests change it, so that they come last."""

import re
import threading

from tests.ansible.conftest import Fleet
from tests.ansible.playbook import Outcome

CONTROL_PLANE_EXPOSURE, RUNNER_EXPOSURE = 2.0, 8.0


def test_check_mode_works_on_bare_machines_and_says_what_would_change(fleet: Fleet) -> None:
    assert fleet.checked.counted("failed") == {"plane": 0, "edge": 0}
    assert "would install" in fleet.checked.output


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    assert fleet.second.counted("changed") == {"plane": 0, "edge": 0}


def test_a_node_runs_a_task_in_a_rootless_container(fleet: Fleet) -> None:
    task = fleet.create("id -u; echo said by the agent")
    ended = fleet.becomes(task.id, "success", "error")
    assert ended.status == "success", ended
    with fleet.client() as client:
        node = client.node("edge")
        assert "said by the agent" in "".join(line.text for line in client.task_output(task.id))
    assert (node.mode, node.tags) == ("pull", {"site": "acme"})
    # root in the container is the service user outside
    assert fleet.edge.sh("stat -c %U /var/lib/qb-runner/.local/share/containers").strip() == "qb-runner"


def test_no_secret_shows_even_with_vvv_and_diff(fleet: Fleet) -> None:
    key = fleet.admin_key()
    assert len(key) > 20
    assert key in fleet.plane.sh("cat /etc/all-time-quarterback/admin.json")
    for outcome in (fleet.checked, fleet.first, fleet.second):
        found = re.findall(r"qb[arntk]_[A-Za-z0-9_-]{8,}", outcome.output)
        assert not found, found
        assert key not in outcome.output


def test_secrets_on_machines_belong_to_one_reader(fleet: Fleet) -> None:
    assert fleet.plane.sh("stat -c '%U %a' /etc/all-time-quarterback/admin.json") == "root 600\n"
    assert fleet.edge.sh("stat -c '%U %a' /etc/all-time-quarterback/runner.toml") == "qb-runner 600\n"
    assert fleet.edge.sh("stat -c '%U %a' /var/lib/qb-runner/runner/node.json") == "qb-runner 600\n"
    assert fleet.edge.tries("test", "-e", "/run/qb-runner-join.env").returncode == 1


def test_the_services_are_confined(fleet: Fleet) -> None:
    for unit in ("qb-control-plane", "qb-dashboard"):
        assert exposure(fleet.plane.sh(f"systemd-analyze security --no-pager {unit}")) <= CONTROL_PLANE_EXPOSURE, unit
    assert exposure(fleet.edge.sh("systemd-analyze security --no-pager qb-runner")) <= RUNNER_EXPOSURE


def test_the_backup_service_makes_a_backup(fleet: Fleet) -> None:
    fleet.plane.sh("systemctl start qb-backup.service")
    assert fleet.plane.sh("ls /var/backups/all-time-quarterback").endswith(".tar\n")
    assert "qb-backup.timer" in fleet.plane.sh("systemctl list-timers --no-pager")


def test_the_dashboard_answers(fleet: Fleet) -> None:
    script = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8001/datasette/\").status)'"
    assert fleet.plane.sh(script).strip() == "200"


def test_rotating_a_key_keeps_the_node_at_work(fleet: Fleet) -> None:
    before = fleet.edge.sh("sha256sum < /var/lib/qb-runner/runner/node.json")
    fleet.operator.play("rotate_keys.yml", "-vvv").good()
    assert fleet.edge.sh("sha256sum < /var/lib/qb-runner/runner/node.json") != before
    assert fleet.becomes(fleet.create("true").id, "success", "error").status == "success"


def test_an_upgrade_leaves_a_running_task_alone(fleet: Fleet) -> None:
    task = fleet.create("until [ -e $TASK_OUTPUT_DIR/go ] || [ $((n = n + 1)) -gt 600 ]; do sleep 1; done; echo done")
    fleet.becomes(task.id, "running")
    # as after a change of the checkout: another release is to be used
    fleet.edge.sh("rm /opt/all-time-quarterback/runner/current")
    before = fleet.edge.sh("systemctl show -P MainPID qb-runner.service")
    outcomes: list[Outcome] = []
    upgrade = threading.Thread(target=lambda: outcomes.append(fleet.operator.play("upgrade.yml")))
    upgrade.start()
    try:
        wait = "until [ $(systemctl show -P MainPID qb-runner.service) != $OLD ]; do sleep 1; done"
        fleet.edge.sh(f"OLD={before.strip()}; timeout 240 sh -c '{wait.replace('$OLD', before.strip())}'", timeout=250)
        fleet.becomes(task.id, "running")
        with fleet.client() as client:
            assert client.node("edge").state == "draining"
    finally:
        fleet.edge.sh("find /var/lib/qb-runner -type d -path '*out*' -exec touch {}/go \\;")
        upgrade.join(300)
    assert outcomes
    outcomes[0].good()
    assert fleet.becomes(task.id, "success", "error").status == "success"
    with fleet.client() as client:
        assert client.task(task.id).attempt == 1
        assert client.node("edge").state == "active"


def test_a_wrong_sudo_password_and_an_unreachable_host_fail_clearly(fleet: Fleet) -> None:
    wrong = fleet.operator.play("nodes.yml", "-e", "ansible_become_password=wrong")
    assert wrong.status != 0
    assert re.search("password", wrong.output, re.IGNORECASE)
    gone = fleet.operator.play("nodes.yml", "-e", "ansible_host=192.0.2.1 ansible_ssh_timeout=2", timeout=120)
    assert gone.counted("unreachable") == {"edge": 1}


def test_a_half_provisioned_host_is_mended_by_the_next_run(fleet: Fleet) -> None:
    release = fleet.edge.sh("readlink /opt/all-time-quarterback/runner/current").strip()
    fleet.edge.sh(f"rm -r {release}/.complete {release}/lib/python3*/site-packages/structlog; systemctl stop qb-runner")
    fleet.operator.play("nodes.yml").good()
    assert fleet.becomes(fleet.create("true").id, "success", "error").status == "success"


def test_decommissioning_leaves_nothing_behind(fleet: Fleet) -> None:
    fleet.operator.play("decommission.yml", "-e", "decommission_hosts=edge").good()
    with fleet.client() as client:
        assert client.nodes() == []
    for path in ("/var/lib/qb-runner", "/opt/all-time-quarterback/runner", "/etc/systemd/system/qb-runner.service"):
        assert fleet.edge.tries("test", "-e", path).returncode == 1, path
    assert fleet.edge.tries("id", "qb-runner").returncode != 0
    again = fleet.operator.play("decommission.yml", "-e", "decommission_hosts=edge").good()
    assert again.counted("changed") == {"edge": 0}


def exposure(said: str) -> float:
    """The figure at the end of what systemd-analyze says."""
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    return float(found[1])
