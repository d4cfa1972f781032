"""A task of a real control plane in the hands of a node and its agent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from qb.client import QbClient
from qb.contract.nodes import Register
from qb.contract.tasks import TaskCreate
from tests.fixtures_server import Server


@dataclass
class Begun:
    """The task, clients of everybody, and what its agent's container has in its environment."""

    id: str
    agent: QbClient
    node: QbClient
    admin: QbClient
    environ: dict[str, str]


@contextmanager
def begun(server: Server) -> Iterator[Begun]:
    """A task that a node of its own has taken."""
    name = f"begun-{uuid4()}"
    with server.joining() as joining, server.client() as admin:
        key = joining.register(Register(hostname=name, wire=2)).api_key
        task = admin.create_task(TaskCreate(prompt="x", target_node_name=name)).id
        with server.client(key) as node:
            assignment = node.poll()
            assert assignment is not None and assignment.task_token is not None
            token = assignment.task_token
            environ = {"ORCHESTRATOR_URL": server.url, "JOB_ID": task, "NODE_API_KEY": token}
            with server.client(token) as agent:
                yield Begun(task, agent, node, admin, environ)
