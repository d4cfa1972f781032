"""Epochs: each restore begins one, so that no number of an attempt is given out twice.

A restored database knows nothing of what came after it was taken: attempts were made in that lost time whose numbers it
would give out again. So in epoch N attempts begin above N * 10,000, and a number at or below that, and above what the
database knows, belongs to the lost time: the node that lists it was given it, and goes on with it.
"""

STEP = 10_000
SETTLE = 75.0
"""Seconds after the first start that tasks pending in a restored database wait, for their nodes to say they hold them.

More than four heartbeats of a wire-2 runner.
"""


def floor(epoch: int) -> int:
    """Attempts made in this epoch have higher numbers; 0 before the first restore."""
    return epoch * STEP


def of_lost_time(attempt: int, *, known: int, floor: int) -> bool:
    """Whether a node's attempt is newer than what the database knows (`known`) and older than this epoch."""
    return known < attempt <= floor
