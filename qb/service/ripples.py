"""What one change in a transaction did to other tasks, to be told once it is committed."""

import sqlite3
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from qb.domain.placement import Target
from qb.service.hub import Hub
from qb.service.waiters import Waiters
from qb.store import placements


@dataclass(slots=True)
class Ripples:
    """Made anew inside each work of the writer, since a work may run twice.

    `changed` are ids of tasks, and of nodes that have something to hear; `startable` are the lines in which one more
    may start now; `ended` holds what is being followed up.
    """

    changed: list[str] = field(default_factory=list)
    startable: list[int] = field(default_factory=list)
    ended: deque[sqlite3.Row] = field(default_factory=deque)
    targets: list[Target] = field(default_factory=list)

    def resolve(self, db: sqlite3.Connection) -> "Ripples":
        """Look up whom to wake, while still in the transaction."""
        self.targets = [placements.target_of(db, line) for line in self.startable]
        return self

    def tell(self, hub: Hub, waiters: Waiters, also: Iterable[str] = ()) -> None:
        """After the commit: wake the streams of the changed tasks and of `also`, and a node for each that may start."""
        for task_id in (*also, *self.changed):
            hub.publish(task_id)
        for target in self.targets:
            waiters.wake_one(target)
