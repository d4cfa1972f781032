"""How long a node may keep an attempt without a word, and other terms. All in seconds."""

ACKNOWLEDGE = 15.0
"""A wire-2 assignment that no heartbeat or report acknowledges within this goes to another node."""

LEASE = 60.0
"""The term of a wire-2 lease once acknowledged; heartbeats come every 15 s."""

OLD_LEASE = 300.0
"""The least term of an older client's lease: its log upload can silence it for 200 s."""

DEADLINE_GRACE = 120.0
"""The server's own deadline is this long after the task's time-out."""

CANCEL_GRACE = 60.0
"""How long a cancelled task may stay unconfirmed by a node that cannot prove the container gone."""

RESTART_GRACE = 60.0
"""How long an older node's task has for a verdict after its runner registered anew."""

VERDICT_GRACE = 60.0
"""How long a verdict may take after an older node has shown that its container ended."""

REPLACED_KEY = 3600.0
"""How long after the end of its attempt a key may still report that the node has replaced."""

TOKEN_GRACE = 3600.0
"""A task token lives this long past the time-out."""

OFFLINE = 45.0
"""A wire-2 node is offline after three missed heartbeats."""

PINGED_OFFLINE = 200.0
"""A node that speaks only while it runs a task is pinged once a minute: three pings without an answer, and some."""

OLD_OFFLINE = 180.0
"""The least silence after which an older node is offline."""

MAX_DELIVERIES = 3
"""How often one attempt is delivered at most before it ends `undeliverable`."""


def lease_seconds(*, wire: int, interval: float | None) -> float:
    """The term of a lease. `interval` is the time observed between an old client's requests."""
    return LEASE if wire >= 2 else max(OLD_LEASE, 3 * (interval or 0))


def offline_seconds(*, wire: int, interval: float | None, pinged: bool = False) -> float:
    """The silence after which a node counts as offline; `pinged`: it speaks by itself only while it runs a task."""
    if pinged:
        return PINGED_OFFLINE
    return OFFLINE if wire >= 2 else max(OLD_OFFLINE, 3 * (interval or 0))
