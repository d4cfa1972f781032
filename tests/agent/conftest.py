"""A control plane, a runner, a real agent in podman, and the model that tells it what to do."""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qb.client import QbClient, Unreachable
from qb.contract.tasks import Task
from tests.agent.build import build
from tests.agent.model import Model, serving
from tests.e2e.agent import Node, wait_until
from tests.fixtures_server import QB, Server, new_server

ENDS_WITHIN = 300.0
"""A deadline, not a wait: a busy machine takes its time to start the agent."""


@pytest.fixture(scope="session")
def agent_image(podman_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of the real agent; fails where npm cannot fetch it."""
    with (tmp_path_factory.getbasetemp().parent / "opencode-image.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        return build()


@pytest.fixture(scope="session")
def bridge(podman_env: dict[str, str]) -> str:
    """The address at which containers reach this machine."""
    command = ["podman", "network", "inspect", "podman", "--format", "{{range .Subnets}}{{.Gateway}}{{end}}"]
    done = subprocess.run(command, env=podman_env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.fixture
def model(bridge: str, agent_image: str) -> Iterator[Model]:
    """The scripted model, where the agent's container reaches it."""
    # The bridge is there once a container has run; `podman_env` has run one.
    with serving(bridge) as model:
        yield model


@pytest.fixture
def server(tmp_path: Path, bridge: str) -> Iterator[Server]:
    """A control plane that listens on loopback and, for containers, on podman's bridge."""
    own = new_server(tmp_path / "qb", "--host", "127.0.0.1", "--host", bridge)
    own.start()
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture
def node(server: Server, agent_image: str, podman_env: dict[str, str], tmp_path: Path) -> Iterator[Node]:
    """A runner whose containers are the real agent."""
    folder = tmp_path / "node"
    folder.mkdir()
    node = Node(server, folder, dict(podman_env), name=f"agent-{os.getpid()}")
    node.start("--container-image", agent_image)
    try:
        yield node
    finally:
        node.end()
        node.sweep()


@pytest.fixture
def client(server: Server) -> Iterator[QbClient]:
    """A client with the operator's key."""
    with server.client() as client:
        yield client


@pytest.fixture
def qb(server: Server, tmp_path: Path) -> Callable[..., str]:
    """Run a `qb` command as the operator; returns its standard output."""

    def run(*arguments: str, **variables: str) -> str:
        env = os.environ | {"QB_URL": server.url, "QB_API_KEY": server.admin_key, "QB_PROFILE": str(tmp_path / "none")}
        env |= variables
        done = subprocess.run([str(QB), *arguments], env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def create(node: Node, model: Model, bridge: str, qb: Callable[..., str]) -> Callable[..., str]:
    """`qb task create` with a prompt; returns the task's id."""

    def create(prompt: str, *more: str) -> str:
        address = f"http://{bridge}:{model.port}/v1"
        return qb("task", "create", prompt, "--env", "MODEL_URL", "-o", "id", *more, MODEL_URL=address).strip()

    return create


@pytest.fixture
def ended(client: QbClient, node: Node) -> Callable[[str], Task]:
    """Wait for a task's end, through restarts of the server; returns it."""

    def wait(task_id: str) -> Task:
        def look() -> Task | None:
            try:
                now = client.task(task_id)
            except Unreachable:
                return None
            return now if now.status.terminal else None

        found: Any = wait_until(look, f"the end of task {task_id}", seconds=ENDS_WITHIN)
        assert isinstance(found, Task)
        return found

    return wait
