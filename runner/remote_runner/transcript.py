"""The agent's log: what Crush wrote into the workspace while the attempt ran.

The file belongs to a program that was free to do anything. It is copied first, no link followed and no more
than so many bytes, and SQLite opens the copy, for so long at most.
"""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import structlog

from qb.client.crush import DATABASE, NotCrush, reading, sessions_since
from qb.contract.logs import Session
from remote_runner.workspace import Workspace

MOST_BYTES = 512 << 20
READ_SECONDS = 60.0
log = structlog.get_logger()


def read_transcript(workspace: Workspace, since: float, scratch: Path) -> list[Session]:
    """The sessions that began at `since` (a POSIX time) or later, as far as they can be read."""
    found: list[Session] = []
    try:
        with tempfile.TemporaryDirectory(prefix="crush-", dir=scratch) as folder:
            copy = Path(folder) / "crush.db"
            if not _copy(workspace, copy):
                return found
            # the copy is ours: opened for writing, SQLite can take in what its own log holds
            with reading(copy.as_uri(), seconds=READ_SECONDS) as db:
                found.extend(sessions_since(db, since))
    except (OSError, sqlite3.Error, NotCrush, ValueError) as error:
        log.warning("the agent's log cannot be read", workspace=str(workspace.home), error=str(error))
    return found


def _copy(workspace: Workspace, copy: Path) -> bool:
    *folders, name = DATABASE.split("/")
    room = MOST_BYTES
    # the log of SQLite's own holds what was not yet moved into the database
    for suffix in ("", "-wal"):
        try:
            with workspace.plain_file(*folders, name + suffix) as source:
                room -= os.fstat(source.fileno()).st_size
                if room < 0:
                    raise OSError(f"{DATABASE} is larger than {MOST_BYTES >> 20} MiB")
                with copy.with_name(copy.name + suffix).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        except FileNotFoundError:
            if not suffix:
                return False
    return True
