"""`qb provision` on this machine alone, without ssh, against a running control plane."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_runner.exceptions import AnsibleRunnerException

from qb.cli.profile import Profile, write_profile
from qb.contract.keys import KeyCreate
from qb.contract.scopes import Role
from qb.provision.progress import Progress
from qb.provision.run import Request
from qb.provision.run import provision as provision_here
from tests.fixtures_server import QB, Server

ROOT = Path(__file__).parents[2]
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"name": "Make a file", "ansible.builtin.copy": {"content": "x", "dest": "{{ made }}", "mode": "0600"}},
            {"name": "Break", "ansible.builtin.fail": {"msg": "it is broken"}, "when": "breaks | default(false)"},
        ],
    }
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A playbook, and an inventory of one good host and one that breaks."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    hosts = {
        "good": here | {"made": str(tmp_path / "good")},
        "bad": here | {"made": str(tmp_path / "bad"), "breaks": True},
    }
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "site.yml").write_text(yaml.safe_dump(PLAY))
    (tmp_path / "fleet.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    return tmp_path


def qb(server: Server, project: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    profile = project / "profile.toml"
    write_profile(profile, "default", Profile(server.url, server.admin_key))
    env = os.environ | {"QB_PROFILE": str(profile), "COLUMNS": "120", "TMPDIR": str(project)}
    return subprocess.run(
        [str(QB), *args],
        env=env,
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def provision(server: Server, project: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return qb(server, project, "provision", "-i", "fleet.yml", *args)


def test_a_failed_host_is_named_and_the_run_is_recorded(server: Server, project: Path) -> None:
    ran = provision(server, project)
    assert ran.returncode == 1, ran.stderr
    assert "error: bad failed in 'Break': it is broken" in ran.stderr
    assert (project / "good").read_text() == "x"
    with server.client() as client:
        (run,) = client.admin.provision_runs()
    assert (run.playbook, run.outcome, run.actor) == ("site.yml", "failed", "admin")
    assert [(host.host, host.changed, host.failed, host.failed_task) for host in run.hosts] == [
        ("bad", 1, True, "Break"),
        ("good", 1, False, None),
    ]
    listed = qb(server, project, "inventory", "runs").stdout.splitlines()
    assert [line.split()[4:] for line in listed[1:]] == [["site.yml", "failed", "2", "2", "bad"]]
    assert not list(project.glob("qb-provision-*")), "what ansible-runner wrote is gone"


def test_a_check_on_some_hosts_changes_nothing(server: Server, project: Path) -> None:
    ran = provision(server, project, "--limit", "go*", "--check")
    assert ran.returncode == 0, ran.stderr
    assert not (project / "good").exists()
    with server.client() as client:
        (run,) = client.admin.provision_runs()
    assert (run.limit, run.check, run.outcome, [host.host for host in run.hosts]) == ("go*", True, "ok", ["good"])


def test_playbooks_know_the_control_plane_that_a_profile_names(server: Server, project: Path) -> None:
    content = "{{ lookup('env', 'QB_URL') }} {{ lookup('env', 'QB_API_KEY') }}"
    told = {"ansible.builtin.copy": {"content": content, "dest": "{{ made }}", "mode": "0600"}}
    (project / "playbooks" / "site.yml").write_text(yaml.safe_dump([PLAY[0] | {"tasks": [told]}]))
    assert provision(server, project).returncode == 0
    assert (project / "good").read_text() == f"{server.url} {server.admin_key}"


def test_settings_of_ansible_are_found_from_where_the_command_is_given(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"ansible.builtin.copy": {"content": "{{ lookup('config', 'DEFAULT_TIMEOUT') }}", "dest": "{{ made }}"}}
    (project / "playbooks" / "site.yml").write_text(yaml.safe_dump([PLAY[0] | {"tasks": [told]}]))
    (project / "mine.cfg").write_text("[defaults]\ntimeout = 77\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", "mine.cfg")
    assert provision(server, project, "--limit", "good").returncode == 0
    assert (project / "good").read_text() == "77"


def test_no_host_to_run_on_is_one_line(server: Server, project: Path) -> None:
    ran = provision(server, project, "--limit", "nobody")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "error: Specified inventory, host pattern and/or --limit leaves us with no hosts to target." in ran.stderr


def test_a_key_that_may_not_record_runs_nothing(server: Server, project: Path) -> None:
    with server.client() as client:
        key = client.admin.create_key(KeyCreate(name="agent", role=Role.SCOPED)).api_key
    ran = qb(replace(server, admin_key=key), project, "provision", "-i", "fleet.yml")
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert not (project / "good").exists()


def test_a_failure_is_told_although_it_cannot_be_recorded(server: Server, project: Path) -> None:
    """The control plane goes while the playbook runs."""
    assert server.process is not None
    ends = {"name": "End it", "ansible.builtin.command": f"kill {server.process.pid}", "when": "breaks is defined"}
    gone = {
        "name": "See that it has gone",
        "ansible.builtin.wait_for": {"port": server.port, "state": "stopped", "timeout": 30},
    }
    tasks = [ends, gone, *PLAY[0]["tasks"]]  # type: ignore[misc]
    (project / "playbooks" / "site.yml").write_text(yaml.safe_dump([PLAY[0] | {"tasks": tasks}]))
    ran = provision(server, project)
    assert ran.returncode == 1
    told = [line for line in ran.stderr.splitlines() if line.startswith(("error:", "warning:", "hint:"))]
    assert told[0] == "error: bad failed in 'Break': it is broken"
    assert told[1].startswith("warning: the run is not recorded: ")
    passed = provision(server, project, "--limit", "good")
    assert (passed.returncode, passed.stdout) == (1, ""), "nothing is begun without it"


def test_what_is_done_but_not_recorded_is_no_success(server: Server, project: Path) -> None:
    assert server.process is not None
    tasks = [
        {"ansible.builtin.command": f"kill {server.process.pid}"},
        {"ansible.builtin.wait_for": {"port": server.port, "state": "stopped", "timeout": 30}},
    ]
    (project / "playbooks" / "site.yml").write_text(yaml.safe_dump([PLAY[0] | {"tasks": tasks}]))
    ran = provision(server, project, "--limit", "good")
    assert ran.returncode == 1
    assert "error: the playbook succeeded, but the run is not recorded: " in ran.stderr


def test_a_message_of_many_lines_is_told_whole(server: Server, project: Path) -> None:
    broken = {"name": "Break", "ansible.builtin.fail": {"msg": "it is broken\n\n  for a reason\n"}}
    (project / "playbooks" / "site.yml").write_text(yaml.safe_dump([PLAY[0] | {"tasks": [broken]}]))
    ran = provision(server, project, "--limit", "bad")
    assert "error: bad failed in 'Break': it is broken · for a reason\n" in ran.stderr


@pytest.fixture
def checkout(project: Path) -> Path:
    """A folder with a dynamic inventory as ours, and a playbook that says what it knows of the control plane."""
    (project / "inventory").mkdir()
    shutil.copy2(ROOT / "inventory" / "qb_nodes.py", project / "inventory")
    plane = "{{ groups['control_plane'] | default([]) | first | default('nobody') }}"
    content = plane + " {{ qb_mode }} {{ from_fleet | default('') }}"
    told = {"ansible.builtin.copy": {"content": content, "dest": str(project / "told")}}
    local = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    play = {"hosts": "nodes", "gather_facts": False, "vars": local}
    fail = {"ansible.builtin.fail": {"msg": "it is broken"}, "when": "breaks | default(false)"}
    (project / "playbooks" / "nodes.yml").write_text(yaml.safe_dump([play | {"tasks": [told, fail]}]))
    return project


def fleet(checkout: Path, groups: dict[str, object], name: str = "fleet.yml", **variables: object) -> None:
    listed = {"all": {"vars": variables, "children": groups}}
    (checkout / "inventory" / name).write_text(yaml.safe_dump(listed))


PLANE = {"control_plane": {"hosts": {"plane-1": {"ansible_host": "192.0.2.10"}}}}
PUSH = ("node", "add", "here", "--mode", "push", "--host", "127.0.0.1", "--provision")


@pytest.mark.parametrize(
    ("more", "named"), [((), "firewall_push_from"), (("--dispatch", "ansible"), "runner_dispatch_key")]
)
def test_a_push_node_is_not_registered_where_nobody_tells_of_the_control_plane(
    server: Server, checkout: Path, more: tuple[str, ...], named: str
) -> None:
    ran = qb(server, checkout, *PUSH, *more)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "no host is in the group control_plane" in ran.stderr
    assert named in ran.stderr
    with server.client() as client:
        assert client.nodes() == []
    fleet(checkout, {}, **{named: ["192.0.2.10"]})
    ran = qb(server, checkout, *PUSH, *more)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_push_node_is_provisioned_with_the_control_plane_that_the_fleet_names(server: Server, checkout: Path) -> None:
    fleet(checkout, PLANE, name="mine.yml", from_fleet="told", breaks=True)
    ran = qb(server, checkout, *PUSH, "-i", "inventory/mine.yml")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert (checkout / "told").read_text() == "plane-1 push told"
    hint = ran.stderr.split("hint: the node is registered; mend it, then: qb ")[1].split()
    fleet(checkout, PLANE, name="mine.yml")
    ran = qb(server, checkout, *hint)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (checkout / "told").read_text() == "plane-1 push "


@pytest.mark.parametrize("error", [AnsibleRunnerException("events directory is missing"), OSError("no room")])
def test_what_ansible_runner_itself_fails_of_is_the_message_of_a_failed_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr("ansible_runner.interface.run", fail)
    request = Request(project / "playbooks" / "site.yml", [project / "fleet.yml"])
    ran = provision_here(request, Progress(), lambda: None)
    assert (ran.outcome, ran.message) == ("failed", f"Ansible cannot be run: {error}")
