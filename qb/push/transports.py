"""Each node by the transport that it is registered for."""

from collections.abc import Mapping
from typing import Any

from qb.contract.push import PushStatus
from qb.push.transport import Begins, PushNode, Sent, Transport


class Transports:
    """HTTP for most nodes, Ansible for those that it brings tasks to."""

    def __init__(self, http: Transport, ansible: Transport) -> None:
        self._http = http
        self._ansible = ansible

    def _of(self, node: PushNode) -> Transport:
        return self._ansible if node.by_ansible else self._http

    async def send(self, node: PushNode, assignment: Mapping[str, Any], begins: Begins | None = None) -> Sent:
        """Bring one assignment, once."""
        return await self._of(node).send(node, assignment, begins)

    async def status(self, node: PushNode) -> PushStatus | None:
        """What the node says that it does."""
        return await self._of(node).status(node)

    async def healthy(self, node: PushNode) -> bool:
        """Whether the node is there."""
        return await self._of(node).healthy(node)

    async def cancel(self, node: PushNode, task_id: str, attempt: int) -> bool:
        """Ask for the end of an attempt."""
        return await self._of(node).cancel(node, task_id, attempt)

    async def close(self) -> None:
        """Let go of both."""
        await self._http.close()
        await self._ansible.close()
