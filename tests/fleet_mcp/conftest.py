"""A control plane, a node that a test plays, and MCP clients with keys of their own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from mcp import Client

from qb.client import QbClient
from qb.contract.keys import KeyCreate
from qb.contract.nodes import Register
from qb.contract.states import ReportStatus
from qb.contract.tasks import Assignment, StatusReport
from qb.fleet_mcp.callers import Budget, Caller, Target
from qb.fleet_mcp.server import build_server
from qb.fleet_mcp.tools import Tools
from tests.fixtures_server import Server


@dataclass
class Box:
    """A node that is played by hand. `name` is its own, `key` that of a scoped key which may use it alone."""

    client: QbClient
    name: str
    key: str

    def take(self) -> Assignment:
        """Take the next task and begin it."""
        given = self.client.poll(wait=10)
        assert given is not None
        self.tell(given, ReportStatus.RUNNING)
        return given

    def tell(self, given: Assignment, status: ReportStatus, **more: Any) -> None:
        """Report on it."""
        self.client.report_status(StatusReport(task_id=given.task_id, attempt=given.attempt, status=status, **more))


@pytest.fixture
def box(shared_server: Server) -> Iterator[Box]:
    """A node of the test's own on the shared server."""
    name = f"mcp-{uuid4().hex[:8]}"
    with shared_server.client() as operator, shared_server.joining() as joining:
        key = operator.admin.create_key(KeyCreate(name=name, role="scoped", allowed_node_patterns=[name])).api_key
        for_node = Register(hostname=name, wire=2, slots=4)
        joining.use_key(joining.register(for_node).api_key)
        yield Box(joining, name, key)


Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def connect(shared_server: Server) -> Connect:
    """An MCP client in this process, with a key's rights."""

    @asynccontextmanager
    async def connected(
        key: str | None = None, *, task: Assignment | None = None, budget: Budget | None = None
    ) -> AsyncIterator[Client]:
        caller = Caller(
            key or shared_server.admin_key, task.task_id if task else None, task.task_token if task else None
        )
        tools = Tools(Target(shared_server.url), budget or Budget(), lambda _: caller)
        async with Client(build_server(tools)) as client:
            yield client

    return connected


@pytest.fixture
def call() -> Callable[..., Any]:
    """Call a tool that must succeed; returns its structured answer."""

    async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    return call


@pytest.fixture
def refusal() -> Callable[..., Any]:
    """Call a tool that must be refused; returns what it says."""

    async def refusal(client: Client, tool: str, **arguments: Any) -> str:
        result = await client.call_tool(tool, arguments)
        assert result.is_error, result.structured_content
        return str(result.content[0].text)

    return refusal
