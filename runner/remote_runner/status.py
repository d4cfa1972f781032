"""`remote_runner status`: what the runner of a state directory does, read from its files."""

import fcntl
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from remote_runner.config import Config
from remote_runner.records import Phase

_HELD = "SELECT task_id, attempt, phase FROM attempts WHERE phase != ? ORDER BY changed_at"
_WAITING = "SELECT count(*), coalesce(sum(size), 0) FROM outbox"


def tell(config: Config) -> int:
    """Print it; 0 when a runner runs, 3 when none does, as service managers have it."""
    found = gather(config.state_dir)
    if config.json:
        print(json.dumps(found))
    else:
        print("\n".join(_lines(found)))
    sys.stdout.flush()
    return 0 if found["running"] else 3


def gather(state_dir: Path) -> dict[str, Any]:
    """What is known, as `--json` prints it."""
    identity = _identity(state_dir)
    held, (letters, size) = _journal(state_dir / "journal.db")
    return {
        "state_dir": str(state_dir),
        "running": _locked(state_dir / "lock"),
        "name": identity.get("name"),
        "node_id": identity.get("node_id"),
        "orchestrator_url": identity.get("url"),
        "attempts": held,
        "waiting_reports": letters,
        "waiting_bytes": size,
    }


def _lines(found: dict[str, Any]) -> list[str]:
    joined = f"{found['name']} ({found['node_id']}) at {found['orchestrator_url']}" if found["node_id"] else "not yet"
    lines = [
        f"State directory  {found['state_dir']}",
        f"Runner           {'running' if found['running'] else 'not running'}",
        f"Joined           {joined}",
        f"Outbox           {found['waiting_reports']} to send, {found['waiting_bytes']} bytes",
        f"Attempts         {len(found['attempts']) or 'none'}",
    ]
    return lines + [f"  {each['task_id']} attempt {each['attempt']}: {each['phase']}" for each in found["attempts"]]


def _identity(state_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads((state_dir / "node.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _journal(path: Path) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    if not path.exists():
        return [], (0, 0)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
        try:
            rows = db.execute(_HELD, (Phase.REPORTED,)).fetchall()
            letters, size = db.execute(_WAITING).fetchone()
        except sqlite3.Error:
            return [], (0, 0)  # made this moment, and still empty
    return [{"task_id": row[0], "attempt": row[1], "phase": row[2]} for row in rows], (letters, size)


def _locked(path: Path) -> bool:
    """Whether a runner holds the lock; a shared one is tried, for a moment, and let go."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
