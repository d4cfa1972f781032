"""What a transport to push nodes does. HTTP is one; others fit the same Protocol."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from qb.contract.push import PushStatus


@dataclass(frozen=True, slots=True)
class PushNode:
    """A node as a transport needs it. `key` is the node's own, which proves who calls."""

    id: str
    name: str
    endpoint: str
    key: str
    wire: int
    variables: Mapping[str, str | int | bool] | None = None
    """Ansible's, for a node that it brings tasks to; None for others."""

    @property
    def by_ansible(self) -> bool:
        """Whether Ansible brings its tasks: it speaks by itself only while it runs one."""
        return self.variables is not None

    @property
    def old(self) -> bool:
        """Whether its runner is older than wire 2: it signs nothing, lists nothing and can't be cancelled."""
        return self.wire < 2


class Outcome(StrEnum):
    """What became of an assignment that was sent."""

    STARTED = "started"
    REFUSED = "refused"
    """Nothing can have started: it may go to another node."""
    REJECTED = "rejected"
    """The node says that this assignment cannot be run at all."""
    UNKNOWN = "unknown"
    """It may have started: ask before anything is sent again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to an assignment; `why` is for people, `pid` is what an older runner told."""

    outcome: Outcome
    why: str = ""
    pid: int | None = None


Begins = Callable[[], Awaitable[bool]]
"""Called just before an assignment that had to wait is brought; False: it is not to be brought any more."""


class Transport(Protocol):
    """Brings assignments to nodes. No call raises for what a node or the network does: it is in the answer."""

    async def send(self, node: PushNode, assignment: Mapping[str, Any], begins: Begins | None = None) -> Sent:
        """Bring one assignment, once. Where that has to wait its turn, `begins` is called when it comes."""

    async def status(self, node: PushNode) -> PushStatus | None:
        """What the node says that it does; None when it gives no answer that makes sense."""

    async def healthy(self, node: PushNode) -> bool:
        """Whether the node is there."""

    async def cancel(self, node: PushNode, task_id: str, attempt: int) -> bool:
        """Ask for the end of an attempt; whether the node has heard."""

    async def close(self) -> None:
        """Let go of every connection."""
