"""Whose rights a tool call has, which task it comes from, and how many tasks it may still create."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from mcp.server.mcpserver.exceptions import ToolError

from qb.client import QbClient
from qb.contract.delegation import MAX_DEPTH, MAX_TASKS

DEPTH, TASKS = 3, 20
"""The limits unless the command line says otherwise."""

MOST_CALLERS = 10_000
TASK_TOKEN = "qbt_"  # noqa: S105 - how every task's token begins
API_KEYS = ("qba_", "qbk_")
"""How API keys begin: an admin's, a scoped one."""


@dataclass(frozen=True, slots=True)
class Target:
    """The orchestrator. `ca_file` is for one with a private CA."""

    url: str
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a tool: an API key, and the running task that it speaks for, if any, with that task's token."""

    api_key: str | None
    task_id: str | None = None
    task_token: str | None = None

    @property
    def delegates(self) -> bool:
        """Whether a running task asks."""
        return self.task_id is not None or self.task_token is not None

    def __repr__(self) -> str:
        return f"Caller(api_key=..., task_id={self.task_id!r}, task_token=...)"


def from_environment(api_key: str | None, environ: Mapping[str, str]) -> Caller:
    """The caller over stdio: within a container its task is in the environment, as the runner put it there."""
    token = environ.get("NODE_API_KEY", "")
    task = environ.get("TASK_ID") or environ.get("JOB_ID") or None
    # an older runner hands over its node's key, which proves nothing about a task
    return Caller(api_key, task, token if token.startswith(TASK_TOKEN) else None)


def from_headers(headers: Mapping[str, str]) -> Caller:
    """The caller over HTTP: `Authorization: Bearer KEY` or `X-API-Key`, and `X-Task-Token` from within a task."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    key = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
    return Caller(key or None, None, headers.get("x-task-token") or None)


@contextmanager
def client_of(target: Target, caller: Caller) -> Iterator[QbClient]:
    """A client with the caller's key, closed after."""
    with QbClient(target.url, api_key=caller.api_key, ca_file=target.ca_file) as client:
        yield client


@dataclass
class Budget:
    """How many tasks each caller may create here, and how deep delegation goes. The server has limits of its own."""

    max_depth: int = DEPTH
    max_tasks: int = TASKS
    _used: dict[bytes, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if not (1 <= self.max_depth <= MAX_DEPTH and 1 <= self.max_tasks <= MAX_TASKS):
            raise ValueError(f"at most {MAX_DEPTH} levels and {MAX_TASKS} tasks")

    @contextmanager
    def one(self, caller: Caller) -> Iterator[None]:
        """Spend one task; it is given back when it could not be created. Raises ToolError when none is left."""
        # of a task's own credentials the container may have several; without any, all calls are one caller's
        name = hashlib.sha256((caller.api_key or "").encode()).digest()
        with self._lock:
            used = self._used.get(name, 0)
            if used >= self.max_tasks:
                raise ToolError(f"The limit of {self.max_tasks} tasks (--max-tasks) is reached: use what there is.")
            if not used and len(self._used) >= MOST_CALLERS:
                raise ToolError(
                    f"This MCP server counts the tasks of {MOST_CALLERS:,} callers, and can count no other's: "
                    "ask the operator to restart it."
                )
            self._used[name] = used + 1
        try:
            yield
        except BaseException:
            with self._lock:
                self._used[name] -= 1
                if not self._used[name]:
                    del self._used[name]
            raise
