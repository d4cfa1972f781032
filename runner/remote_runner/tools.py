"""What every attempt works with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qb.client import QbClient
from remote_runner.config import Config
from remote_runner.engine import Engine
from remote_runner.images import Images
from remote_runner.journal import Journal
from remote_runner.membership import Membership
from remote_runner.records import Key
from remote_runner.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts of one runner."""

    config: Config
    client: QbClient
    membership: Membership
    journal: Journal
    engine: Engine
    images: Images
    workspaces: Workspaces
    logs: Path
    runner_id: str
    boot_id: str
    limits_work: bool
    stop: threading.Event
    outbox_filled: Callable[[], None]

    def log_path(self, key: Key) -> Path:
        """Where conmon writes the attempt's output."""
        return self.logs / f"{key.container}.log"

    def pid_path(self, key: Key) -> Path:
        """Where conmon writes its process id."""
        return self.logs / f"{key.container}.pid"
