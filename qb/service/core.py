"""What every use case works with, made once when the server starts."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from qb.domain.links import SESSION_PATH
from qb.domain.operations import Operations
from qb.domain.quotas import Quotas
from qb.domain.times import Clock
from qb.service.credentials import Credentials
from qb.service.hub import Hub
from qb.service.metrics import Metrics
from qb.store import published
from qb.store.database import Readers, Writer


@dataclass(frozen=True, slots=True)
class Settings:
    """How this control plane is set up. `url` and `agent_url` have no trailing slash.

    `node_ca_file` is the CA of push nodes with a private one; `loopback_nodes` lets them be on this machine.
    """

    data_dir: Path
    url: str
    agent_url: str
    dashboard_url: str | None = None
    crush_server_url: str | None = None
    crush_session_path: str = SESSION_PATH
    keyless_reports: bool = False
    trusted_proxies: tuple[str, ...] = ()
    node_ca_file: Path | None = None
    loopback_nodes: bool = False
    operations: Operations = field(default_factory=Operations)
    quotas: Quotas = field(default_factory=Quotas)

    @property
    def database(self) -> Path:
        """The source of truth."""
        return self.data_dir / "qb.db"

    @property
    def keys(self) -> Path:
        """Hashed credentials, apart from qb.db so that no SQL on the dashboard can reach them."""
        return self.data_dir / "keys.db"

    @property
    def blobs(self) -> Path:
        """File contents, named by their SHA-256."""
        return self.data_dir / "blobs"


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that use cases share; owned and closed by qb.api.app's lifespan."""

    settings: Settings
    clock: Clock
    writer: Writer
    readers: Readers
    credentials: Credentials
    hub: Hub
    stopping: asyncio.Event
    """Set when the server begins to stop: long polls and streams end at once."""

    keys: Writer
    """keys.db: hashed credentials, and the environments of tasks."""

    metrics: Metrics = field(default_factory=Metrics)
    died: dict[str, str] = field(default_factory=dict)
    """Background work that has died of a bug, by its name, with the kind of error: the server is not fit for work."""


async def publish_settings(core: Core) -> None:
    """Write down what readers of the database must know; mostly it is there already."""
    server = (core.settings.crush_server_url or "").rstrip("/")
    url = server + core.settings.crush_session_path if server else None
    if await core.readers.run(lambda db: published.get(db, published.CRUSH_SERVER_URL)) != url:
        await core.writer.run(lambda db: published.put(db, published.CRUSH_SERVER_URL, url))
