"""A control plane behind TLS with a private CA: the runner speaks to it, and so does the agent in its container."""

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qb.client import QbClient
from qb.contract.states import TaskStatus
from qb.contract.tasks import Task, TaskCreate
from qb.demo import image as demo
from tests.e2e.agent import Node, wait_until
from tests.fixtures_server import Server, new_server
from tests.fixtures_tls import Authority, TlsDoor

pytestmark = pytest.mark.podman
INSIDE = "host.containers.internal"
PATIENCE = 180


@pytest.fixture(scope="session")
def reporting_image(podman_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """An agent that reports with our own status reporter."""
    # the lock of tests/agent, whose image is built on this one
    with (tmp_path_factory.getbasetemp().parent / "opencode-image.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        return demo.build(print)


@pytest.fixture
def door(authority: Authority, tls_doors: Callable[..., TlsDoor], bridge: str) -> TlsDoor:
    """Where the control plane is reached, by nodes and by containers."""
    return tls_doors(*authority.vouch("localhost", INSIDE), "127.0.0.1", bridge)


@pytest.fixture
def server(door: TlsDoor, tmp_path: Path) -> Iterator[Server]:
    """A control plane that itself listens on loopback only, without TLS."""
    urls = ("--url", f"https://localhost:{door.port}", "--agent-url", f"https://{INSIDE}:{door.port}")
    own = new_server(tmp_path / "qb", *urls)
    own.start()
    door.target = own.port
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture
def node(door: TlsDoor, reporting_image: str, nodes: Callable[..., Node]) -> Node:
    """A runner that knows the https address alone; it is not started yet."""
    options = ("--orchestrator-url", f"https://localhost:{door.port}")
    return nodes("private", image=reporting_image, options=options)


def task_with_a_table(client: QbClient, folder: Path) -> Task:
    source = folder / "numbers.csv"
    source.write_text("a,b\n1,2\n3,4\n")
    uploaded = client.upload(source)
    return client.create_task(TaskCreate(prompt="sum it up", files=[uploaded.filename]))


def test_runner_and_agent_report_to_a_server_with_a_private_ca(
    client: QbClient, node: Node, authority: Authority, ended: Callable[[Task], Task], tmp_path: Path
) -> None:
    node.start("--ca-file", str(authority.ca))
    task = task_with_a_table(client, tmp_path)
    wait_until(lambda: client.task(task.id).status.terminal, "the end of the task", seconds=PATIENCE)
    done = client.task(task.id)
    assert (done.status, done.exit_code, done.agent_status) == (TaskStatus.SUCCESS, 0, "success")
    assert done.result == "summarised 2 rows of numbers.csv in report.md and chart.svg"
    told = {each.source for each in client.task_events(task.id) if each.kind.startswith("reported")}
    assert told == {"agent", "runner"}
    assert {each.name for each in client.artifacts(task.id)} == {"report.md", "chart.svg"}
    used = (node.folder / "runner.log").read_text()
    assert "certificate" not in used


def test_without_the_ca_neither_is_believed(client: QbClient, node: Node, tmp_path: Path) -> None:
    node.start()
    log = node.folder / "runner.log"
    wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in log.read_text(), "the runner's word on the certificate")
    assert client.nodes() == []
