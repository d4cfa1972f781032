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
SECONDS = 5.0
"""How long a locked journal is waited for."""

_WAITING = "SELECT count(*), coalesce(sum(size), 0) FROM outbox"


def tell(config: Config) -> int:
    """Print it; 0 when a runner runs, 3 when none does, as service managers have it, 1 when that cannot be known."""
    try:
        found = gather(config.state_dir)
    except OSError as error:
        words = f"{config.state_dir} cannot be read: {error.strerror}; run this as the runner's user"
        print(f"remote_runner: {words}", file=sys.stderr)
        return 1
    if config.json:
        print(json.dumps(found))
    else:
        print("\n".join(_lines(found)))
    sys.stdout.flush()
    return 0 if found["running"] else 3


def gather(state_dir: Path) -> dict[str, Any]:
    """What is known, as `--json` prints it: `error` where the journal can't be read. Raises OSError for the rest."""
    identity = _identity(state_dir)
    journal = _journal(state_dir / "journal.db")
    return {
        "state_dir": str(state_dir),
        "running": _locked(state_dir / "lock"),
        "name": identity.get("name"),
        "node_id": identity.get("node_id"),
        "orchestrator_url": identity.get("url"),
        **journal,
    }


def _lines(found: dict[str, Any]) -> list[str]:
    joined = f"{found['name']} ({found['node_id']}) at {found['orchestrator_url']}" if found["node_id"] else "not yet"
    lines = [
        f"State directory  {found['state_dir']}",
        f"Runner           {'running' if found['running'] else 'not running'}",
        f"Joined           {joined}",
    ]
    if found["error"]:
        return [*lines, f"Journal          {found['error']}"]
    lines += [
        f"Outbox           {found['waiting_reports']} to send, {found['waiting_bytes']} bytes",
        f"Attempts         {len(found['attempts']) or 'none'}",
    ]
    return lines + [f"  {each['task_id']} attempt {each['attempt']}: {each['phase']}" for each in found["attempts"]]


def _identity(state_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads((state_dir / "node.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _journal(path: Path) -> dict[str, Any]:
    rows: list[Any] = []
    letters = size = 0
    try:
        if path.exists():
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as db:
                rows = db.execute(_HELD, (Phase.REPORTED,)).fetchall()
                letters, size = db.execute(_WAITING).fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            unknown = dict.fromkeys(("attempts", "waiting_reports", "waiting_bytes"))
            return {**unknown, "error": f"cannot be read: {error}"}
        # made this moment, and still without its tables
    held = [{"task_id": row[0], "attempt": row[1], "phase": row[2]} for row in rows]
    return {"attempts": held, "waiting_reports": letters, "waiting_bytes": size, "error": None}


def _locked(path: Path) -> bool:
    """Whether a runner holds the lock; a shared one is tried, for a moment, and let go."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
