"""A fleet from nothing, for `make test-hosts` alone: it takes minutes and needs root."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qb.client import QbClient
from qb.contract.tasks import Task, TaskCreate
from tests.ansible.machines import Machine, build_image, wait_until_ready
from tests.ansible.playbook import Operator, Outcome
from tests.e2e.agent import IMAGE, wait_until

if os.environ.get("QB_TEST_HOSTS") != "1":
    # `make test-hosts` says so; `make test` leaves these files to it
    collect_ignore_glob = ["test_*.py"]


@dataclass
class Fleet:
    """Provisioned machines, and what the first runs of site.yml said."""

    operator: Operator
    url: str
    checked: Outcome
    first: Outcome
    second: Outcome

    @property
    def plane(self) -> Machine:
        """The control plane's machine."""
        return self.operator.machines["plane"]

    @property
    def edge(self) -> Machine:
        """The machine of a pull node."""
        return self.operator.machines["edge"]

    def admin_key(self) -> str:
        """What root finds on the control plane's host."""
        return str(json.loads(self.plane.sh("cat /etc/all-time-quarterback/admin.json"))["admin_key"])

    def client(self) -> QbClient:
        """With the admin key; the caller closes it."""
        return QbClient(self.url, api_key=self.admin_key())

    def create(self, script: str) -> Task:
        """A task that runs a script in a container."""
        with self.client() as client:
            return client.create_task(TaskCreate(prompt=script))

    def becomes(self, task_id: str, *statuses: str, seconds: float = 120) -> Task:
        """Wait until the task has one of these."""

        def look() -> Task | None:
            with self.client() as client:
                now = client.task(task_id)
                return now if now.status in statuses else None

        found: Task = wait_until(look, f"task {task_id} being {' or '.join(statuses)}", seconds=seconds)
        return found


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Somebody with an ssh key, and two bare machines."""
    folder = tmp_path_factory.mktemp("operator")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")]
    subprocess.run(command, check=True, timeout=30)
    build_image()
    key = (folder / "id.pub").read_text().strip()
    machines = {name: Machine(name, key) for name in ("plane", "edge")}
    try:
        wait_until_ready(machines)
        yield Operator(folder, machines)
    finally:
        for machine in machines.values():
            machine.destroy()


@pytest.fixture(scope="session")
def fleet(operator: Operator, e2e_image: Path) -> Fleet:
    """site.yml in check mode on the bare machines, then for real, then once more; the agent's image is on the node."""
    url = f"http://{operator.machines['plane'].address}:8080"
    operator.write_inventory(
        {"control_plane": {"plane": {}}, "nodes": {"edge": {"qb_tags": {"site": "acme"}}}},
        qb_url=url,
        control_plane_listen=[operator.machines["plane"].address],
        runner_container_image=IMAGE,
    )
    checked = operator.play("site.yml", "--check", "--diff").good()
    first = operator.play("site.yml", "-vvv", "--diff").good()
    operator.machines["edge"].sh(
        "cd /; XDG_RUNTIME_DIR=/run/user/$(id -u qb-runner) exec setpriv --reuid qb-runner --regid qb-runner "
        "--clear-groups env HOME=/var/lib/qb-runner podman load",
        stdin=e2e_image.read_bytes(),
    )
    return Fleet(operator, url, checked, first, operator.play("site.yml").good())


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
