"""The push port answers only the control plane; everything else on the machine stays as it was."""

import socket
import subprocess

import pytest

from tests.ansible.shield.conftest import ROLE, Shielded
from tests.e2e.agent import wait_until

PORT = 8080
FIREWALL = (ROLE, "-e", "role=firewall", "-e", "on=cloud")
TABLES = "nft list tables"


def test_tasks_come_through_it(shielded: Shielded) -> None:
    assert shielded.runs_a_task() == "success"


def test_the_push_port_is_open_to_the_control_plane_alone(shielded: Shielded) -> None:
    assert answers_the_control_plane(shielded)
    assert refuses_us(shielded)


def test_ssh_stays_open_to_everybody(shielded: Shielded) -> None:
    with socket.create_connection((shielded.cloud.address, 22), timeout=5) as ssh:
        assert ssh.recv(8).startswith(b"SSH-2.0")


def test_the_nodes_own_containers_do_not_reach_the_port(shielded: Shielded) -> None:
    probe = f"import socket; socket.create_connection(('{shielded.cloud.address}', {PORT}), timeout=3)"
    assert "ConnectionRefusedError" in shielded.cloud.tries("python3", "-c", probe).stderr


def test_other_tables_are_left_alone_and_cannot_take_it_along(shielded: Shielded) -> None:
    shielded.cloud.sh("nft add table inet somebody")
    shielded.cloud.sh("systemctl reload qb-firewall.service; systemctl restart qb-firewall.service")
    assert "table inet somebody" in shielded.cloud.sh(TABLES)
    # Debian's own service empties everything
    for verb in ("start", "reload", "restart", "stop"):
        shielded.cloud.sh(f"systemctl {verb} nftables.service")
        wait_until(lambda: "table inet qb_firewall" in shielded.cloud.sh(TABLES), f"the table after {verb}", seconds=10)
    assert refuses_us(shielded)


def test_rules_that_make_no_sense_are_not_loaded_and_the_old_ones_stay(shielded: Shielded) -> None:
    rules = "/etc/all-time-quarterback/firewall.nft"
    shielded.cloud.sh(f"cp {rules} /root/kept; echo 'table inet qb_firewall {{ nonsense }}' >> {rules}")
    try:
        assert shielded.cloud.tries("systemctl", "reload", "qb-firewall.service").returncode != 0
        assert refuses_us(shielded)
        assert answers_the_control_plane(shielded)
    finally:
        shielded.cloud.sh(f"cp /root/kept {rules}; systemctl reload qb-firewall.service")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            '{"firewall_push_from": ["plane.example.org"]}',
            "addresses, such as 192.0.2.10 or 192.0.2.0/24, not 'plane.exa",
        ),
        ('{"firewall_push_from": ["10.0.0.999"]}', "failed to validate"),
        ('{"firewall_push_port": 22}', "that would lock you out"),
    ],
    ids=["a name", "no address", "the port of ssh"],
)
def test_settings_that_make_no_sense_change_nothing(shielded: Shielded, setting: str, said: str) -> None:
    played = shielded.operator.play(*FIREWALL, "-e", setting)
    assert played.status != 0
    assert said in " ".join(played.output.split())
    assert refuses_us(shielded)
    assert answers_the_control_plane(shielded)


def test_a_node_that_is_pushed_to_no_more_loses_it(shielded: Shielded) -> None:
    gone = shielded.operator.play(*FIREWALL, "-e", "qb_mode=pull").good()
    assert gone.counted("changed")["cloud"] > 0
    assert "qb_firewall" not in shielded.cloud.sh(TABLES)
    assert shielded.operator.play(*FIREWALL, "-e", "qb_mode=pull").good().counted("changed") == {"cloud": 0}


def test_a_reboot_keeps_it(shielded: Shielded) -> None:
    shielded.operator.play(*FIREWALL).good()
    # the last test: the machine may get another address
    subprocess.run(
        ["podman", "restart", "-t", "10", shielded.cloud.container], check=True, capture_output=True, timeout=90
    )
    shielded.cloud.ready()
    assert "table inet qb_firewall" in shielded.cloud.sh(TABLES)
    shielded.cloud.sh("systemctl is-active qb-firewall.service qb-runner.service")
    assert refuses_us(shielded)
    assert answers_the_control_plane(shielded)


def refuses_us(shielded: Shielded) -> bool:
    """Whether the port refuses this machine, which is not the control plane."""
    try:
        socket.create_connection((shielded.cloud.address, PORT), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def answers_the_control_plane(shielded: Shielded) -> bool:
    """Whether the control plane's machine gets a connection."""
    probe = f"import socket; socket.create_connection(('{shielded.cloud.address}', {PORT}), timeout=5)"
    return shielded.plane.tries("python3", "-c", probe).returncode == 0
