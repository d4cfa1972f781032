"""What the server remembers of each node between requests, so that a poll or a heartbeat asks nothing twice."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from qb.contract.states import Generation, NodeDispatch, NodeMode, NodeStatus
from qb.domain import leases
from qb.domain.placement import Traits
from qb.domain.times import parse
from qb.store import nodes

NOTE_SECONDS = 5.0
"""The database learns of a node's polls this often: it is for people to read, and the server does not."""

Orders = tuple[frozenset[tuple[str, int]], bool]
"""What a heartbeat's reply asks for: the attempts to end, as (task, attempt), and whether to drain."""

BEATS = 5
LONGEST_INTERVAL = 6 * 3600.0
"""Who was silent for longer was away."""


@dataclass(slots=True)
class Member:
    """One node. `interval` is the time observed between an old client's heartbeats, in seconds.

    `endpoint` is where a push node is reached, None for one that polls. `variables` are Ansible's for a node that it
    brings tasks to, None for others.
    """

    traits: Traits
    wire: int
    slots: int
    last_seen: datetime
    generation: Generation = Generation.WIRE2
    interval: float | None = None
    beats: tuple[float, ...] = ()
    last_beat: datetime | None = None
    dirty: bool = False
    offline: bool = False
    endpoint: str | None = None
    variables: Mapping[str, str | int | bool] | None = None
    noted: datetime | None = None
    looked: int | None = None
    """`Waiters.news` when the node last looked for a task, held none and found none."""

    heard: Orders = (frozenset(), False)
    """What the last heartbeat was answered."""

    waits: int = 0
    """Counts the heartbeats whose answer waits for news: a newer one ends those before."""

    @property
    def lease(self) -> float:
        """The term of this node's leases, in seconds."""
        return leases.lease_seconds(wire=self.wire, interval=self.interval)

    def seen(self, now: datetime) -> None:
        """Note that the node has spoken."""
        self.last_seen = now
        self.dirty = True
        if self.offline:
            self.offline, self.noted = False, None

    def written(self, now: datetime) -> None:
        """Note that the database knows that the node spoke then."""
        self.noted = now
        self.dirty = self.last_seen > now

    def to_write(self, now: datetime) -> bool:
        """Whether the database should learn that the node has spoken."""
        return self.dirty and (self.noted is None or (now - self.noted).total_seconds() >= NOTE_SECONDS)

    def beat(self, now: datetime) -> bool:
        """Note an old client's heartbeat; returns whether its interval is another one now.

        The longest of the last few counts: starting a container delays a beat, and an outage is forgotten soon.
        """
        last, self.last_beat = self.last_beat, now
        gap = 0.0 if last is None else (now - last).total_seconds()
        if not 0 < gap < LONGEST_INTERVAL:
            return False
        self.beats = (*self.beats, gap)[-BEATS:]
        longest = max(self.beats)
        if self.interval is not None and abs(longest - self.interval) <= self.interval / 10:
            return False
        self.interval = longest
        return True

    def silent(self, now: datetime) -> bool:
        """Whether the node has been silent for too long."""
        limit = leases.offline_seconds(wire=self.wire, interval=self.interval, pinged=self.variables is not None)
        return (now - self.last_seen).total_seconds() > limit


def member_of(row: sqlite3.Row, now: datetime) -> Member:
    """The node of that row, as the server remembers it from `now` on."""
    offline = row["status"] == NodeStatus.OFFLINE
    last_seen = parse(row["last_seen_at"] or row["created_at"]) if offline else now
    # an older runner runs one container at a time, whatever an admin wrote down for it
    slots = row["slots"] if row["wire"] >= 2 else 1
    generation, interval = Generation(row["generation"]), row["poll_interval"]
    endpoint, variables = _reached(row)
    return Member(
        nodes.traits(row),
        row["wire"],
        slots,
        last_seen,
        generation,
        interval,
        offline=offline,
        endpoint=endpoint,
        variables=variables,
        noted=None if offline else now,
    )


def _reached(row: sqlite3.Row) -> tuple[str | None, Mapping[str, str | int | bool] | None]:
    """Where a push node is reached, and Ansible's variables where it does so."""
    if row["mode"] != NodeMode.PUSH:
        return None, None
    if row["dispatch"] != NodeDispatch.ANSIBLE:
        return row["api_endpoint"], None
    return f"ssh://{row['address']}", json.loads(row["ansible"]) | {"ansible_host": row["address"]}


class Registry:
    """Members by node id. Attempts get numbers above `floor` (qb.domain.epochs)."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.floor = 0
        self.full_terms = False
        """Whether leases have been given their full term since the server started."""
        self.old: set[str] = set()

    def put(self, member: Member) -> None:
        """Remember a new or changed node."""
        self.members[member.traits.node_id] = member
        (self.old.add if member.wire < 2 else self.old.discard)(member.traits.node_id)

    def older(self) -> list[Member]:
        """Nodes that run an older client."""
        return [self.members[node_id] for node_id in self.old if node_id in self.members]
