"""A push runner that joins by itself and serves TLS, and the control plane that brings it a task."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qb.contract.keys import TokenCreate
from qb.contract.tasks import TaskCreate
from tests.e2e.agent import Node, wait_until
from tests.fixtures_server import Server, new_server

pytestmark = pytest.mark.podman


@pytest.fixture
def server(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Server]:
    """A control plane that trusts the certificate of its push nodes."""
    own = new_server(tmp_path / "qb", "--loopback-nodes", "--ca-file", str(certificate[0]))
    own.start()
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture
def node(free_port: int, nodes: Callable[..., Node]) -> Node:
    """A push runner that knows a token only; it is not started yet."""
    node = nodes("tls", mode="push", endpoint=f"https://localhost:{free_port}")
    node.options = ("--network", "host", "--advertise-url", node.endpoint)
    return node


def test_a_push_runner_joins_with_a_token_and_is_brought_its_tasks_over_tls(
    server: Server, node: Node, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    with server.client() as client:
        node.token = client.admin.create_token(TokenCreate(name_glob="tls-*", allows_push=True)).token
        node.start("--tls-cert", str(cert), "--tls-key", str(key))
        task = client.create_task(TaskCreate(prompt="echo brought", target_node_name=node.name))
        wait_until(lambda: client.task(task.id).status.terminal, "the end of the task", seconds=120)
        done = client.task(task.id)
        assert (done.status, done.exit_code, done.attempt) == ("success", 0, 1)
        assert [line.text for line in client.task_output(task.id)] == ["brought\n"]
        shown: Any = client.node(node.name)
        assert (shown.mode, shown.api_endpoint) == ("push", node.endpoint)


def test_a_token_that_allows_no_push_lets_no_push_runner_in(server: Server, node: Node) -> None:
    with server.client() as client:
        node.token = client.admin.create_token(TokenCreate(name_glob="tls-*")).token
        node.start()
        assert node.process.wait(120) == 1
        said = (node.folder / "runner.log").read_text().splitlines()[-1]
        assert "push" in said
        assert client.nodes() == []
    node.process = None
