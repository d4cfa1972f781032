"""What the server remembers of each node between requests, so that a poll or a heartbeat asks nothing twice."""

from dataclasses import dataclass
from datetime import datetime

from qb.domain import leases
from qb.domain.placement import Traits

NOTE_SECONDS = 5.0
"""The database learns of a node's polls this often: it is for people to read, and the server does not."""


@dataclass(slots=True)
class Member:
    """One node. `interval` is the time observed between an old client's requests, in seconds."""

    traits: Traits
    wire: int
    slots: int
    last_seen: datetime
    interval: float | None = None
    dirty: bool = False
    offline: bool = False
    noted: datetime | None = None
    looked: int | None = None
    """`Waiters.news` when the node last looked for a task, held none and found none."""

    @property
    def lease(self) -> float:
        """The term of this node's leases, in seconds."""
        return leases.lease_seconds(wire=self.wire, interval=self.interval)

    def seen(self, now: datetime) -> None:
        """Note that the node has spoken."""
        gap = (now - self.last_seen).total_seconds()
        if self.wire < 2 and 1 < gap < leases.OLD_LEASE:
            self.interval = max(gap, (self.interval or 0) * 0.9)
        self.last_seen = now
        self.dirty = True
        if self.offline:
            self.offline, self.noted = False, None

    def written(self, now: datetime) -> None:
        """Note that the database knows when the node spoke last."""
        self.noted = now
        self.dirty = False

    def to_write(self, now: datetime) -> bool:
        """Whether the database should learn that the node has spoken."""
        return self.dirty and (self.noted is None or (now - self.noted).total_seconds() >= NOTE_SECONDS)

    def silent(self, now: datetime) -> bool:
        """Whether the node has been silent for too long."""
        limit = leases.offline_seconds(wire=self.wire, interval=self.interval)
        return (now - self.last_seen).total_seconds() > limit


class Registry:
    """Members by node id."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}

    def put(self, member: Member) -> None:
        """Remember a new or changed node."""
        self.members[member.traits.node_id] = member
