"""The tools that an agent steers the fleet with: each is a call of the API with the caller's own rights."""

import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio
from anyio import to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field, ValidationError

from qb.client import ClientError, QbClient, Refused
from qb.contract.states import TaskStatus
from qb.contract.tasks import MAX_TIMEOUT, TaskCreate
from qb.fleet_mcp.callers import Budget, Caller, Target, client_of
from qb.fleet_mcp.replies import (
    LONG,
    MOST_ARTIFACTS,
    MOST_NODES,
    ArtifactBrief,
    ArtifactNames,
    Artifacts,
    Created,
    FileText,
    FileView,
    Logs,
    NodeBrief,
    Nodes,
    Tasks,
    TaskView,
    Transcript,
    Waited,
)

LONGEST_WAIT = 3600
PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds between two looks at a task that is waited for; the last one stays."""

PAGE = 500

T = TypeVar("T")
Id = Annotated[str, Field(description="id of the task, as create_task or list_tasks gave it", max_length=64)]
Prompt = Annotated[str, Field(description="the whole assignment: the agent knows nothing but this text")]
Title = Annotated[str | None, Field(description="a short name for listings")]
Glob = Annotated[str | None, Field(description="only nodes whose name matches, for example client-acme-*")]
Tags = Annotated[dict[str, str] | None, Field(description="only nodes that have all of these tags")]
Capabilities = Annotated[list[str] | None, Field(description="only nodes that can do all of these")]
Timeout = Annotated[int, Field(description="seconds after which the task is stopped", ge=1, le=MAX_TIMEOUT)]
Priority = Annotated[int, Field(description="higher goes first", ge=-1000, le=1000)]
DependsOn = Annotated[list[str] | None, Field(description="ids of tasks that must have succeeded before")]
Wait = Annotated[float, Field(description="seconds to wait at most", ge=0, le=LONGEST_WAIT)]
After = Annotated[int, Field(description="next_after of the page before; 0 begins", ge=0)]
Offset = Annotated[int, Field(description="next_offset of the page before; 0 begins", ge=0)]
Limit = Annotated[int, Field(description="how many at most", ge=1, le=100)]


class Tools:
    """The tools; their docstrings are what the model reads. `caller` tells who makes a call."""

    def __init__(self, target: Target, budget: Budget, caller: Callable[[Context[Any, Any]], Caller]) -> None:
        self._target = target
        self._budget = budget
        self._caller = caller

    async def list_nodes(self, ctx: Context[Any, Any]) -> Nodes:
        """List the machines that run tasks, with what they can do. Needs an admin's key."""
        nodes = await self._call(ctx, lambda client: client.nodes())
        return Nodes(nodes=[NodeBrief.of(node) for node in nodes[:MOST_NODES]], total=len(nodes))

    async def list_tasks(
        self,
        ctx: Context[Any, Any],
        status: Annotated[TaskStatus | None, Field(description="only tasks of this status")] = None,
        limit: Limit = 20,
    ) -> Tasks:
        """List tasks that this key may see, newest first."""
        filters = {"status_filter": status.value} if status else {}
        return Tasks(
            tasks=[TaskView.of(task) for task in await self._call(ctx, lambda c: c.tasks(limit=limit, **filters))]
        )

    async def create_task(
        self,
        ctx: Context[Any, Any],
        prompt: Prompt,
        title: Title = None,
        node_name: Glob = None,
        tags: Tags = None,
        capabilities: Capabilities = None,
        timeout_seconds: Timeout = 3600,
        priority: Priority = 0,
        depends_on: DependsOn = None,
    ) -> Created:
        """Start work on another machine: an agent in a container there gets the prompt. It costs money and can act.

        Ask for a part of your own work, never for the whole of it: loops are refused, and depth and number are
        limited. Then call wait_for_task.
        """
        caller = self._caller(ctx)
        body = _body(
            prompt=prompt,
            title=title,
            target_node_name=node_name,
            target_tags=tags,
            capabilities=capabilities,
            timeout_seconds=timeout_seconds,
            priority=priority,
            depends_on=depends_on,
            parent_task_id=caller.task_id,
            max_depth=self._budget.max_depth if caller.delegates else None,
            max_tasks=self._budget.max_tasks if caller.delegates else None,
        )
        with self._budget.one(caller):
            made = await self._call(ctx, lambda client: client.create_task(body, task_token=caller.task_token))
        return Created(task=TaskView.of(made), warnings=made.warnings)

    async def wait_for_task(self, ctx: Context[Any, Any], task_id: Id, timeout_seconds: Wait = 300) -> Waited:
        """Wait until a task has ended, or the time is up; then `ended` is false and you may call again."""
        if task_id == self._caller(ctx).task_id:
            raise ToolError("This is a loop: the task is your own, and ends when you do.")
        until, looks, told = time.monotonic() + timeout_seconds, 0, None
        while True:
            task = await self._call(ctx, lambda client: client.task(task_id))
            news = (task.status, task.progress, task.message)
            if news != told:
                told = news
                await ctx.report_progress(task.progress or 0, 100, f"{task.status}")
            left = until - time.monotonic()
            if task.status.terminal or left <= 0:
                return Waited(ended=task.status.terminal, task=TaskView.of(task))
            await anyio.sleep(min(left, PAUSES[min(looks, len(PAUSES) - 1)]))
            looks += 1

    async def show_task(self, ctx: Context[Any, Any], task_id: Id) -> TaskView:
        """Show a task: where it runs, how far it is, its result or its error."""
        return TaskView.of(await self._call(ctx, lambda client: client.task(task_id)))

    async def task_logs(self, ctx: Context[Any, Any], task_id: Id, after: After = 0) -> Logs:
        """Read what the task's container has printed, page by page, from the beginning."""
        lines = await self._call(ctx, lambda client: client.task_output(task_id, after=after, limit=PAGE))
        return Logs.of(lines, after=after, full=len(lines) == PAGE)

    async def task_transcript(self, ctx: Context[Any, Any], task_id: Id, offset: Offset = 0) -> Transcript:
        """Read the agent's conversation in the task: what it was told, thought, did and said, page by page."""
        return Transcript.of(await self._call(ctx, lambda client: client.logs(task_id)), offset)

    async def list_artifacts(self, ctx: Context[Any, Any], task_id: Id) -> Artifacts:
        """List the files that a task has left as its results."""
        found = await self._call(ctx, lambda client: client.artifacts(task_id))
        shown = [ArtifactBrief.of(each) for each in found[:MOST_ARTIFACTS]]
        return Artifacts(total=len(found), untrusted=ArtifactNames(artifacts=shown))

    async def read_artifact(
        self, ctx: Context[Any, Any], task_id: Id, name: Annotated[str, Field(description="as list_artifacts has it")]
    ) -> FileView:
        """Read the beginning of a file that a task has left, if it is text."""
        data = await self._call(ctx, lambda client: _beginning(client, task_id, name))
        try:
            # a character may be cut in two where the reading stops
            text = data[: 4 * LONG].decode("utf-8", errors="strict" if len(data) <= 4 * LONG else "ignore")
        except UnicodeDecodeError:
            return FileView(truncated=len(data) > 4 * LONG, untrusted=FileText(text=None))
        return FileView(truncated=len(data) > 4 * LONG or len(text) > LONG, untrusted=FileText(text=text[:LONG]))

    async def cancel_task(self, ctx: Context[Any, Any], task_id: Id) -> TaskView:
        """Stop a task for good: a running one is killed by its node, and its work is lost. Can't be undone."""
        return TaskView.of(await self._call(ctx, lambda client: client.cancel_task(task_id)))

    async def _call(self, ctx: Context[Any, Any], work: Callable[[QbClient], T]) -> T:
        """Do it in a thread with the caller's key. Raises ToolError with what the orchestrator said."""
        caller = self._caller(ctx)

        def run() -> T:
            with client_of(self._target, caller) as client:
                return work(client)

        try:
            return await to_thread.run_sync(run, abandon_on_cancel=True)
        except Refused as error:
            raise ToolError(f"Refused ({error.status}): {error.detail}{_mend(error)}") from error
        except ClientError as error:
            raise ToolError(f"{error}. Try again later.") from error


def _mend(error: Refused) -> str:
    if error.status == 401:
        return " The key that this tool was given is not good: tell a person."
    if error.status == 403:
        return " The key that this tool was given lacks the right: tell a person, or go without."
    return ""


def _body(**given: Any) -> TaskCreate:
    try:
        return TaskCreate(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "arguments"
        raise ToolError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _beginning(client: QbClient, task_id: str, name: str) -> bytes:
    data = bytearray()
    with client.get_artifact(task_id, name) as chunks:
        for chunk in chunks:
            data += chunk
            if len(data) > 4 * LONG:
                break
    return bytes(data[: 4 * LONG + 1])
