"""Looks now and then at how much a task has left in its out folder."""

import time

from remote_runner.workspace import Workspace

INTERVAL = 2.0
SHARE = 20
"""A look that takes long is followed by so many times its length without one."""


class DiskWatch:
    """Watches the `out` of the task folder `task`, which may hold `limit` bytes."""

    def __init__(self, workspace: Workspace, task: str, limit: int) -> None:
        self._workspace = workspace
        self._task = task
        self._limit = limit
        self._next = 0.0

    def exceeded(self) -> bool:
        """Whether there is more than the limit, as far as it was time to look."""
        begun = time.monotonic()
        if begun < self._next:
            return False
        size = self.size()
        now = time.monotonic()
        self._next = now + max(INTERVAL, SHARE * (now - begun))
        return size > self._limit

    def size(self) -> int:
        """Bytes on disk; 0 for a folder that cannot be read."""
        try:
            return self._workspace.size(self._task)
        except OSError:
            return 0
