"""Tasks brought over SSH: the control plane on its host, the node on another, nothing but sshd between them."""

import re

from tests.ansible.fleet import Fleet
from tests.e2e.agent import wait_until

UNITS = "systemctl --user list-units --plain --no-legend 'qb-run-*'"
HANDED = "find /run/user -path '*qb-handed/*'"
PLAYS = "find /var/lib/all-time-quarterback/data/ansible -mindepth 1"


def main_pid(fleet: Fleet) -> str:
    """The process of the one runner that is at work on `vault`; empty when there is none."""
    vault = fleet.machine("vault")
    unit = vault.as_runner(UNITS).split()
    return vault.as_runner(f"systemctl --user show -P MainPID {unit[0]}").strip() if unit else ""


def test_a_runner_lives_as_long_as_its_task_under_the_service_user(fleet: Fleet) -> None:
    vault = fleet.machine("vault")
    assert main_pid(fleet) == ""
    assert vault.tries("systemctl", "cat", "qb-runner.service").returncode != 0
    task = fleet.begun("vault")
    try:
        pid = main_pid(fleet)
        assert vault.sh(f"stat -c %U /proc/{pid}") == "qb-runner\n"
        assert "remote_runner\0run-once" in vault.sh(f"cat /proc/{pid}/cmdline")
        assert vault.sh(HANDED) == "", "removed once it was journalled"
        listening = vault.sh("ss -Hltn").split("\n")
        assert all(re.search(r":22\s", line) for line in listening if line), listening
        with fleet.client() as client:  # with its second heartbeat
            wait_until(lambda: client.node("vault").status == "busy", "the node is busy")
            assert client.node("vault").current_task_id == task.id
    finally:
        fleet.open_gate("vault")
    assert fleet.becomes(task.id, "success", "error").status == "success"
    wait_until(lambda: main_pid(fleet) == "", "the runner's end")
    with fleet.client() as client:
        assert client.node("vault").status == "idle", "its last heartbeat said so"


def test_what_ansible_wrote_on_the_control_plane_is_gone(fleet: Fleet) -> None:
    fleet.runs("vault", "echo a-prompt-of-its-own")
    wait_until(lambda: fleet.plane.sh(PLAYS) == "", "the end of every play")
    left = fleet.plane.tries("sh", "-c", "grep -rl a-prompt-of-its-own ~qb/.ansible /tmp /var/tmp /dev/shm")
    assert left.stdout == ""


def test_a_killed_runner_is_started_again_and_takes_up_its_container(fleet: Fleet) -> None:
    vault = fleet.machine("vault")
    task = fleet.begun("vault")
    try:
        before = main_pid(fleet)
        vault.sh(f"kill -KILL {before}")
        wait_until(lambda: main_pid(fleet) not in ("", "0", before), "another runner")
    finally:
        fleet.open_gate("vault")
    ended = fleet.becomes(task.id, "success", "error")
    assert (ended.status, ended.attempt) == ("success", 1), ended
    assert fleet.text(task) == "on\ndone\n"


def test_cancelling_ends_the_container_and_the_runner(fleet: Fleet) -> None:
    task = fleet.begun("vault")
    with fleet.client() as client:
        client.cancel_task(task.id)
    ended = fleet.becomes(task.id, "cancelled", "success", "error")
    assert (ended.status, ended.reason) == ("cancelled", "cancelled_by_operator")
    assert fleet.machine("vault").as_runner("podman ps -aq") == ""
    wait_until(lambda: main_pid(fleet) == "", "the runner's end")


def test_the_control_planes_key_opens_nothing_but_commands(fleet: Fleet) -> None:
    """Whoever has it gets the service user, without a terminal and without sudo."""
    vault = fleet.machine("vault")
    assert vault.sh("cat /var/lib/qb-runner/.ssh/authorized_keys").startswith("restrict ssh-ed25519 ")
    ssh = f"ssh -o BatchMode=yes -i .ssh/id_ed25519 qb-runner@{vault.address}"
    asked = fleet.plane.sh(
        f"cd /var/lib/all-time-quarterback; setpriv --reuid qb --regid qb --clear-groups env HOME=$PWD {ssh} "
        "'id -un; sudo -n true || echo no sudo; tty'; true"
    )
    assert asked == "qb-runner\nno sudo\nnot a tty\n"
