"""A control plane behind TLS and a push node behind a firewall, made from nothing; for `make test-hosts` alone."""

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qb.client import QbClient
from qb.contract.tasks import TaskCreate
from tests.ansible.machines import Machine, build_image, wait_until_ready
from tests.ansible.playbook import TOP, Operator, Outcome
from tests.e2e.agent import IMAGE, wait_until

if os.environ.get("QB_TEST_HOSTS") != "1":
    # `make test-hosts` says so; `make test` leaves these files to it
    collect_ignore_glob = ["test_*.py"]

ROLE = "../" + str((Path(__file__).parent / "role.yml").relative_to(TOP))
"""A playbook that applies one role: -e role=NAME -e on=HOSTS."""


@dataclass
class Shielded:
    """The machines, the address with its CA, and what the runs of site.yml said."""

    operator: Operator
    url: str
    ca_file: Path
    checked: Outcome
    first: Outcome
    second: Outcome

    @property
    def plane(self) -> Machine:
        """The control plane's machine, with the proxy."""
        return self.operator.machines["plane"]

    @property
    def cloud(self) -> Machine:
        """The push node's machine, with the firewall."""
        return self.operator.machines["cloud"]

    def client(self, key: str | None = None) -> QbClient:
        """With a key, the admin's at first; the caller closes it."""
        return QbClient(self.url, api_key=key or self.admin_key(), ca_file=str(self.ca_file))

    def admin_key(self) -> str:
        """What root finds on the control plane's host."""
        return str(json.loads(self.plane.sh("cat /etc/all-time-quarterback/admin.json"))["admin_key"])

    def trust(self) -> ssl.SSLContext:
        """What a client that knows the CA, and nothing else, trusts."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def runs_a_task(self) -> str:
        """How a task ends that was brought to the push node."""
        with self.client() as client:
            task = client.create_task(TaskCreate(prompt="true", target_node_name="cloud"))

            def ended() -> str | None:
                now = client.task(task.id)
                return f"{now.status} {now.error_message or ''}".strip() if now.status.terminal else None

            said: str = wait_until(ended, "the task's end", seconds=120)
            return said


@pytest.fixture(scope="session")
def shielded(tmp_path_factory: pytest.TempPathFactory, e2e_image: Path) -> Iterator[Shielded]:
    """site.yml in check mode on the bare machines, then for real, then once more."""
    folder = tmp_path_factory.mktemp("shielded")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")]
    subprocess.run(command, check=True, timeout=30)
    build_image()
    key = (folder / "id.pub").read_text().strip()
    machines = {name: Machine(name, key) for name in ("plane", "cloud")}
    try:
        wait_until_ready(machines)
        yield _provisioned(Operator(folder, machines), e2e_image)
    finally:
        for machine in machines.values():
            machine.destroy()


def _provisioned(operator: Operator, image: Path) -> Shielded:
    plane, cloud = operator.machines["plane"], operator.machines["cloud"]
    url, ca_file = f"https://{plane.address}", operator.folder / "ca.pem"
    push = {"qb_mode": "push", "qb_endpoint": f"http://{cloud.address}:8080"}
    operator.write_inventory(
        {"control_plane": {"plane": {}}, "nodes": {"cloud": push}},
        qb_url=url,
        qb_proxy=True,
        qb_ca_file=str(ca_file),
        runner_container_image=IMAGE,
    )
    checked = operator.play("site.yml", "--check", "--diff").good()
    first = operator.play("site.yml").good()
    cloud.sh(
        "cd /; XDG_RUNTIME_DIR=/run/user/$(id -u qb-runner) exec setpriv --reuid qb-runner --regid qb-runner "
        "--clear-groups env HOME=/var/lib/qb-runner podman load",
        stdin=image.read_bytes(),
    )
    return Shielded(operator, url, ca_file, checked, first, operator.play("site.yml").good())
