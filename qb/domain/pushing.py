"""Tasks pushed to older runners, which tell so little: what their /status means for a task they were sent."""

from dataclasses import dataclass, replace
from enum import StrEnum

from qb.contract.push import Activity, PushStatus

PROBE_SECONDS = 30.0
"""How often an older push node is asked whether it is there; it never speaks by itself."""

PING_SECONDS = 60.0
"""How often Ansible looks whether a node is there that it brings tasks to."""

WATCH_SECONDS = 5.0
"""How often it is asked for its status while it holds a task."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt sent to an older push node.

    `before` and `before_pid` are its status just before; `known`: it has said that it started. `since` is when (ISO
    8601) it was first seen not to run any more, `exit_code` what it said then.
    """

    before: str = Activity.IDLE
    before_pid: int | None = None
    known: bool = False
    pid: int | None = None
    since: str | None = None
    exit_code: int | None = None


class Finding(StrEnum):
    """What became of a task on an older push node."""

    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"
    """It ran, and the runner has been started anew since: nobody knows how it ended."""
    NEVER = "never"
    """Nothing shows that it ever started."""


def judge(delivery: Delivery, status: PushStatus, *, now: str) -> tuple[Finding, Delivery]:
    """What the node's status says of the attempt, and the delivery with what was learnt.

    Only the pid tells whose `running` or `completed` it is.
    """
    finding = _finding(delivery, status)
    if finding is Finding.RUNNING:
        return finding, replace(delivery, known=True, pid=status.pid, since=None)
    code = status.exit_code if finding is Finding.ENDED and _ours(delivery, status) else None
    # what has ended has begun: however little else was seen of it
    known = delivery.known or finding is Finding.ENDED
    return finding, replace(delivery, known=known, since=delivery.since or now, exit_code=code)


def _finding(delivery: Delivery, status: PushStatus) -> Finding:
    if status.status is Activity.RUNNING:
        return Finding.RUNNING if _ours(delivery, status) else Finding.ENDED
    if status.status is Activity.IDLE:
        return Finding.LOST if delivery.known else Finding.NEVER
    if delivery.known or _ours(delivery, status):
        return Finding.ENDED
    return Finding.NEVER


def _ours(delivery: Delivery, status: PushStatus) -> bool:
    if delivery.pid is not None:
        return status.pid in (None, delivery.pid)
    if status.status is Activity.RUNNING or delivery.before == Activity.IDLE:
        return True
    # an earlier task's `completed` is still shown until another container starts
    return status.pid is not None and status.pid != delivery.before_pid
