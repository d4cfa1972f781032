"""A fleet from nothing, for `make test-hosts` alone: it takes minutes and needs root."""

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.fleet import NODES, Fleet
from tests.ansible.machines import Machine, build_image, wait_until_ready
from tests.ansible.playbook import Operator
from tests.e2e.agent import IMAGE

if os.environ.get("QB_TEST_HOSTS") != "1":
    # `make test-hosts` says so; `make test` leaves these files to it
    collect_ignore_glob = ["test_*.py"]

FIGURES: list[str] = []
"""Times, printed at the end: a busy machine makes no test fail."""

MOST_JOURNALS = 3
_operator: list[Operator] = []
_journals: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure, what the machines' journals say."""
    report = yield
    if report.failed and len(_journals) < MOST_JOURNALS:
        for operator in _operator:
            _journals.append(item.name)
            for machine in operator.machines.values():
                report.sections.append((f"journal of {machine.name}", machine.journal()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Somebody with an ssh key, and bare machines."""
    folder = tmp_path_factory.mktemp("operator")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")]
    subprocess.run(command, check=True, timeout=30)
    build_image()
    key = (folder / "id.pub").read_text().strip()
    found = Operator(folder, {name: Machine(name, key) for name in ("plane", *NODES)})
    _operator.append(found)
    try:
        wait_until_ready(found.machines)
        yield found
    finally:
        for machine in found.machines.values():
            machine.destroy()


@pytest.fixture(scope="session")
def fleet(operator: Operator, e2e_image: Path) -> Fleet:
    """site.yml in check mode on the bare machines, then for real, then once more; the agent's image is on the nodes."""
    address = {name: machine.address for name, machine in operator.machines.items()}
    url = f"http://{address['plane']}:8080"
    nodes: dict[str, dict[str, Any]] = {
        "edge": {"qb_tags": {"site": "acme"}},
        "cloud": {"qb_mode": "push", "qb_endpoint": f"http://{address['cloud']}:8080", "qb_slots": 2},
        "vault": {"qb_mode": "push", "qb_dispatch": "ansible", "qb_tags": {"site": "vault"}},
    }
    operator.write_inventory(
        {"control_plane": {"plane": {}}, "nodes": nodes},
        qb_url=url,
        control_plane_listen=[address["plane"]],
        runner_container_image=IMAGE,
    )
    checked = operator.play("site.yml", "--check", "--diff").good()
    first = operator.play("site.yml", "-vvv", "--diff").good()
    second = operator.play("site.yml").good()
    for name in NODES:
        operator.machines[name].as_runner("podman load", stdin=e2e_image.read_bytes())
    hosts = len(operator.machines)
    FIGURES.append(f"site.yml on {hosts} bare hosts: check mode {checked.seconds:.0f} s, then {first.seconds:.0f} s")
    FIGURES.append(f"site.yml once more on {hosts} hosts: {second.seconds:.0f} s, {second.seconds / 60:.2f}x of 60 s")
    return Fleet(operator, url, checked, first, second)


@pytest.fixture(scope="session")
def e2e_image(podman_env: dict[str, str], busybox_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the image whose agent runs the prompt as a shell script."""
    folder = tmp_path_factory.mktemp("agent")
    (folder / "Containerfile").write_text(
        f'FROM {busybox_image}\nENTRYPOINT ["sh", "-c", "exec sh -c \\"$3\\"", "agent"]\n'
    )
    command = ["podman", "build", "-q", "-t", IMAGE, str(folder)]
    subprocess.run(command, env=podman_env, check=True, capture_output=True, timeout=120)
    command = ["podman", "save", "-q", "-o", str(folder / "image.tar"), IMAGE]
    subprocess.run(command, env=podman_env, check=True, capture_output=True, timeout=120)
    return folder / "image.tar"
