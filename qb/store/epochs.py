"""Which restore this database comes from, and the tasks that wait while its nodes are heard."""

import sqlite3

_CURRENT = "SELECT coalesce(max(epoch), 0) FROM epochs"
_BEGIN = "INSERT INTO epochs (epoch, restored_at) VALUES ((SELECT coalesce(max(epoch), 0) + 1 FROM epochs), ?)"
_OPEN = "UPDATE epochs SET opened_at = ? WHERE opened_at IS NULL"
_OPENED = "SELECT opened_at FROM epochs ORDER BY epoch DESC LIMIT 1"
_BEGAN = "SELECT coalesce(opened_at, restored_at) FROM epochs ORDER BY epoch DESC LIMIT 1"
_HOLD = """
UPDATE tasks SET claimable = 0, available_at = :until
WHERE status = 'pending' AND schedule_id IS NOT id
    AND (available_at IS NULL OR available_at < :until)
"""
_PROLONG = """
UPDATE tasks SET expires_at = :until WHERE status = 'pending' AND expires_at IS NOT NULL AND expires_at < :until
"""
_PENDING = "SELECT id FROM tasks WHERE status = 'pending' AND schedule_id IS NOT id ORDER BY seq"


def current(db: sqlite3.Connection) -> int:
    """The epoch: how often this database has been restored."""
    return int(db.execute(_CURRENT).fetchone()[0])


def begin(db: sqlite3.Connection, *, now: str) -> int:
    """Begin a new epoch; returns it."""
    db.execute(_BEGIN, (now,))
    return current(db)


def open_first(db: sqlite3.Connection, *, now: str, until: str) -> bool:
    """On the first start of an epoch hold every task back that could start, or end unclaimed, before `until`.

    Returns whether it was the first. Those whose time came, or went, in the lost time may be with a node, too.
    """
    if not db.execute(_OPEN, (now,)).rowcount:
        return False
    db.execute(_HOLD, {"until": until})
    db.execute(_PROLONG, {"until": until})
    return True


def opened_at(db: sqlite3.Connection) -> str | None:
    """When this epoch was first served; None before the first restore."""
    found = db.execute(_OPENED).fetchone()
    return None if found is None else found[0]


def began_at(db: sqlite3.Connection) -> str | None:
    """What was created later is of this epoch: its first start, or the restore while the disk is too full for that."""
    found = db.execute(_BEGAN).fetchone()
    return None if found is None else found[0]


def pending(db: sqlite3.Connection) -> list[str]:
    """Every task that is pending, oldest first; a schedule's pattern, which never runs, is none."""
    return [row[0] for row in db.execute(_PENDING)]
