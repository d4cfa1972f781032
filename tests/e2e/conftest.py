"""A real control plane, a real runner and an agent that is a shell script: the prompt is the script."""

import fcntl
import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qb.client import QbClient, Unreachable
from qb.contract.tasks import Task, TaskCreate
from tests.e2e import evidence
from tests.e2e.agent import IMAGE, Node, wait_until
from tests.fixtures_server import Server, new_server

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure for the fixtures, which show what they know before they tear it down."""
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def agent_image(podman_env: dict[str, str], busybox_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image whose agent runs the prompt as a shell script."""
    with (tmp_path_factory.getbasetemp().parent / "e2e-image.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        context = tmp_path_factory.mktemp("agent")
        (context / "Containerfile").write_text(
            f'FROM {busybox_image}\nENTRYPOINT ["sh", "-c", "exec sh -c \\"$3\\"", "agent"]\n'
        )
        command = ["podman", "build", "-q", "-t", IMAGE, str(context)]
        subprocess.run(command, env=podman_env, check=True, capture_output=True, timeout=120)
    return IMAGE


@pytest.fixture(scope="session")
def bridge(podman_env: dict[str, str]) -> str:
    """The address at which containers reach this machine."""
    command = ["podman", "network", "inspect", "podman", "--format", "{{range .Subnets}}{{.Gateway}}{{end}}"]
    done = subprocess.run(command, env=podman_env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.fixture
def server(tmp_path: Path, bridge: str) -> Iterator[Server]:
    """A control plane that listens on loopback and, for containers, on podman's bridge."""
    with running_server(tmp_path, bridge) as own:
        yield own


@contextmanager
def running_server(folder: Path, bridge: str, *options: str) -> Iterator[Server]:
    """The control plane of the fixture `server`, with more options."""
    own = new_server(folder / "qb", "--host", "127.0.0.1", "--host", bridge, "--loopback-nodes", *options)
    own.start()
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture
def nodes(
    request: pytest.FixtureRequest, server: Any, agent_image: str, podman_env: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., Node]]:
    """Makes nodes of the control plane of the fixture `server`; they are not started yet.

    When the test has failed they show what they know before they are torn down.
    """
    made: list[Node] = []

    def make(name: str, kind: type[Node] = Node, **more: Any) -> Node:
        folder = tmp_path / f"node-{name}"
        folder.mkdir(exist_ok=True)
        env = dict(podman_env) | {"PYTHONUNBUFFERED": "1"}
        made.append(kind(server, folder, env, name=f"{name}-{os.getpid()}", **{"image": agent_image, **more}))
        return made[-1]

    yield make
    for node in made:
        if request.node.stash.get(_FAILED, False):
            evidence.show(server, node)
        node.end()
        node.sweep()


@pytest.fixture
def node(nodes: Callable[..., Node]) -> Node:
    """A runner that has joined the control plane of the fixture `server`."""
    node = nodes("box")
    node.start()
    return node


@pytest.fixture
def run(server: Any, node: Node) -> Callable[..., Task]:
    """Create a task that runs a script; returns it as it was created."""

    def create(script: str, **more: Any) -> Task:
        with server.client() as client:
            return client.create_task(TaskCreate(prompt=script, **more))

    return create


@pytest.fixture
def ended(server: Any) -> Callable[[Task], Task]:
    """Wait for a task's end, through restarts of the server; returns it."""

    def wait(task: Task) -> Task:
        def look() -> Task | None:
            try:
                with server.client() as client:
                    now = client.task(task.id)
                    return now if now.status.terminal else None
            except Unreachable:
                return None

        found: Task = wait_until(look, f"the end of task {task.id}")
        return found

    return wait


@pytest.fixture
def client(server: Any) -> Iterator[QbClient]:
    """A client with the operator's key."""
    with server.client() as client:
        yield client
