"""A whole control plane without HTTP: real database, real credentials, a clock that tests turn."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from qb.contract.nodes import Heartbeat, Held, Register
from qb.contract.routes import Caller
from qb.contract.states import ReportStatus
from qb.contract.tasks import GroupCreate, StatusReport, TaskCreate
from qb.service import backup, fleet, restore
from qb.service.audit import Actor
from qb.service.core import Core, Settings
from qb.service.credentials import Credentials, Identity
from qb.service.dispatch import Dispatch
from qb.service.fleet import Fleet
from qb.service.groups import Groups
from qb.service.heartbeats import Heartbeats
from qb.service.hub import Hub
from qb.service.node_admin import NodeAdmin
from qb.service.registry import Registry
from qb.service.reports import Reports
from qb.service.scheduler import Scheduler
from qb.service.schedules import Schedules
from qb.service.setup import initialise
from qb.service.tasks import Tasks
from qb.service.waiters import Waiters
from qb.store import events
from qb.store.database import Readers, Writer

ADMIN = Identity(Caller.ADMIN, name="admin")
OPERATOR = Actor(ADMIN, "192.0.2.1")
JOINING = Identity(Caller.REGISTRATION, name="registration")


@dataclass
class HandClock:
    """A clock that stands still until it is turned."""

    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class Token:
    """A registration token's record, as far as joining looks at it."""

    id: str = "token-1"
    name_glob: str = "*"
    allows_push: bool = True
    max_uses: int | None = None


class Poller:
    """A poller's connection; it stays until `left` is set."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def gone(self) -> None:
        """Return when it has left."""
        await self.left.wait()

    def is_gone(self) -> bool:
        """Whether it has left."""
        return self.left.is_set()


@pytest.fixture
def poller() -> Poller:
    """One that stays until the test lets it leave."""
    return Poller()


@dataclass
class Plane:
    """The use cases of one control plane, and short words for what nodes and agents do."""

    core: Core
    clock: HandClock
    registry: Registry
    waiters: Waiters
    fleet: Fleet
    heartbeats: Heartbeats
    dispatch: Dispatch
    reports: Reports
    tasks: Tasks
    scheduler: Scheduler
    groups: Groups
    schedules: Schedules
    nodes: NodeAdmin

    async def node(self, name: str = "box", *, wire: int = 2, token: Any = None, **more: Any) -> str:
        """Register a node; returns its id."""
        body = Register(hostname=name, wire=wire, **more)
        return str((await self.fleet.register(JOINING, body, token or Token()))["id"])

    async def task(self, prompt: str = "work", **more: Any) -> str:
        """Create a task; returns its id. Another start comes at once, unless the test says otherwise."""
        more.setdefault("backoff_seconds", 0)
        return str((await self.tasks.create(ADMIN, TaskCreate(prompt=prompt, **more)))["id"])

    async def group(self, each: str = "*", prompt: str = "work", **more: Any) -> dict[str, Any]:
        """Create a group; returns it as the API shows it."""
        return await self.groups.create(ADMIN, GroupCreate(prompt=prompt, each=each, **more))

    async def done(self, node: str, status: str = "success", **more: Any) -> str:
        """The node takes its next task, runs it and reports its end; returns the task's id."""
        assignment = await self.poll(node)
        assert assignment is not None
        task, attempt = str(assignment["task_id"]), assignment["attempt"]
        await self.runner(node, task, "running", attempt=attempt)
        await self.runner(node, task, status, attempt=attempt, **more)
        return task

    async def show(self, task_id: str) -> dict[str, Any]:
        """The task as the API shows it."""
        return await self.tasks.one(ADMIN, task_id)

    async def kinds(self, task_id: str) -> list[str]:
        """The kinds of the task's events."""
        return [event["kind"] for event in await self.history(task_id)]

    async def history(self, task_id: str) -> list[dict[str, Any]]:
        """All events of the task."""
        return await self.core.readers.run(lambda db: events.page(db, task_id, after=0, limit=1000))

    async def poll(self, node: str, *held: Held, wait: float = 0) -> dict[str, Any] | None:
        """The node polls."""
        return await self.dispatch.poll(node, wait=wait, held=list(held), line=Poller())

    async def beat(self, node: str, *running: Held, **more: Any) -> dict[str, Any]:
        """The node's heartbeat."""
        return await self.heartbeats.take(node, Heartbeat(running=list(running), **more))

    async def runner(self, node: str, task: str, status: ReportStatus | str, **more: Any) -> dict[str, Any]:
        """The runner reports."""
        identity = Identity(Caller.NODE, node_id=node, name="node")
        return await self.reports.take(identity, StatusReport(task_id=task, status=ReportStatus(status), **more))

    async def agent(self, task: str, attempt: int, status: ReportStatus | str, **more: Any) -> dict[str, Any]:
        """The agent reports."""
        identity = Identity(Caller.AGENT, task_id=task, attempt=attempt, name="agent")
        return await self.reports.take(identity, StatusReport(task_id=task, status=ReportStatus(status), **more))

    async def started(self, node: str, **more: Any) -> dict[str, Any]:
        """A task that the node has claimed and begun."""
        task = await self.task(**more)
        assignment = await self.poll(node)
        assert assignment is not None
        assert assignment["task_id"] == task
        await self.runner(node, task, "running", attempt=assignment["attempt"])
        return assignment


async def open_plane(data_dir: Path, clock: HandClock) -> Plane:
    """Start the use cases on a data directory that exists."""
    settings = Settings(data_dir, "http://qb.example:8000", "http://host.containers.internal:8000")
    credentials = Credentials.load(data_dir, clock)
    core = Core(
        settings,
        clock,
        Writer(settings.database),
        Readers(settings.database),
        credentials,
        Hub(),
        asyncio.Event(),
        Writer(settings.keys, secure_delete=True),
    )
    registry, waiters = await fleet.load(core), Waiters()
    return Plane(
        core,
        clock,
        registry,
        waiters,
        Fleet(core, registry, waiters),
        Heartbeats(core, registry, waiters),
        Dispatch(core, registry, waiters),
        Reports(core, registry, waiters),
        Tasks(core, waiters),
        Scheduler(core, registry, waiters),
        Groups(core, waiters),
        Schedules(core),
        NodeAdmin(core, registry, waiters),
    )


def close_plane(plane: Plane) -> None:
    """Let go of the database."""
    plane.core.stopping.set()
    plane.core.readers.close()
    plane.core.writer.close()
    plane.core.keys.close()


@pytest.fixture
def clock() -> HandClock:
    """A clock that stands still until it is turned."""
    return HandClock()


@pytest.fixture
async def plane(tmp_path: Path, clock: HandClock) -> AsyncIterator[Plane]:
    """A control plane on a fresh data directory."""
    initialise(tmp_path / "data", now=clock())
    plane = await open_plane(tmp_path / "data", clock)
    yield plane
    close_plane(plane)


@pytest.fixture
def reopen(tmp_path: Path, clock: HandClock) -> Any:
    """Stop a control plane and start it again on the same data directory."""

    async def again(plane: Plane) -> Plane:
        close_plane(plane)
        return await open_plane(tmp_path / "data", clock)

    return again


@pytest.fixture
def to_yesterday(tmp_path: Path, clock: HandClock) -> Any:
    """Back up, let `after` happen, lose everything since, restore, start again."""

    async def lose(plane: Plane, after: Any) -> tuple[Plane, Any]:
        backup.backup(tmp_path / "data", tmp_path / "backup", now=clock())
        came = await after()
        close_plane(plane)
        shutil.rmtree(tmp_path / "data")
        restore.from_backup(tmp_path / "backup", tmp_path / "data", now=clock())
        return await open_plane(tmp_path / "data", clock), came

    return lose


async def nothing() -> None:
    """Nothing happens in the time that is lost."""
