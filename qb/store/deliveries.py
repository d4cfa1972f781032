"""What is known of attempts that were sent to older push nodes: kept with the attempt, through restarts."""

import json
import sqlite3
from dataclasses import asdict

from qb.domain.pushing import Delivery

_KEEP = "UPDATE attempts SET delivery = ? WHERE task_id = ? AND attempt = ?"
_GET = "SELECT delivery FROM attempts WHERE task_id = ? AND attempt = ?"


def keep(db: sqlite3.Connection, task_id: str, attempt: int, delivery: Delivery) -> None:
    """Write it down."""
    db.execute(_KEEP, (json.dumps(asdict(delivery)), task_id, attempt))


def get(db: sqlite3.Connection, task_id: str, attempt: int) -> Delivery:
    """What is known of the attempt; nothing is known of one that was never sent by push."""
    row = db.execute(_GET, (task_id, attempt)).fetchone()
    return Delivery(**json.loads(row[0])) if row and row[0] else Delivery()
