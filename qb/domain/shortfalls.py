"""What a task needs that older clients lack (wire.md, "Client generations")."""

from enum import StrEnum

from qb.contract.states import Generation, NodeMode

_IGNORES_TIME_LIMIT = frozenset({Generation.OLD, Generation.A, Generation.B})


class Need(StrEnum):
    """Something that a task may need of the node that runs it."""

    CANCEL = "cancel"
    TIME_LIMIT = "timeout_seconds"
    RETRY_FENCING = "max_attempts"
    FILES = "files"
    IMAGE = "image"
    ENV = "env"
    LIMITS = "limits"
    VERDICT = "verdict"


STANDING = frozenset({Need.CANCEL, Need.VERDICT})
"""What every task needs, should it come to that."""

CONSEQUENCES: dict[Need, str] = {
    Need.CANCEL: "cannot be told to stop: a cancelled task ends cancel_unconfirmed, and its container may run on",
    Need.TIME_LIMIT: "ignores the time limit: the task ends in time here, and its container may run on",
    Need.RETRY_FENCING: "names no attempt: a late report of an earlier start may count for the next one",
    Need.FILES: "is pushed its tasks without files",
    Need.IMAGE: "runs its own image whatever is asked for",
    Need.ENV: "takes no environment",
    Need.LIMITS: "enforces no limits and is passed over, and no other node matches: the task waits",
    Need.VERDICT: "reports without a key, which this server refuses: its tasks end verdict_missing",
}
"""What comes of it, said of the node; in the order in which they are told."""


def lacks(generation: Generation, mode: NodeMode, *, keyless_reports: bool) -> frozenset[Need]:
    """What a client cannot do. One that is not told apart yet may be any that it could be."""
    if generation is Generation.WIRE2:
        return frozenset()
    lacking = {Need.CANCEL, Need.RETRY_FENCING, Need.IMAGE, Need.ENV, Need.LIMITS}
    if generation in _IGNORES_TIME_LIMIT:
        lacking.add(Need.TIME_LIMIT)
    if mode is NodeMode.PUSH:
        lacking.add(Need.FILES)
    if generation is Generation.A and not keyless_reports:
        lacking.add(Need.VERDICT)
    return frozenset(lacking)
