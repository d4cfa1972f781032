"""Readers give way: while a reader looks at an old state the writer cannot begin its log anew, so that it grows."""

import asyncio
from pathlib import Path
from typing import Any

LOG_BYTES = 24 << 20
"""From this size on requests wait for the writer, who tries to begin anew from 16 MiB on."""
PATIENCE = 2.0
"""Seconds that a request waits at most: queries under way are cut after one."""
LOOK = 0.02


def data_dir(datasette: Any) -> Path:
    """Where the database that is shown lies."""
    return Path(datasette.get_database("qb").path).resolve().parent


async def let_the_writer_by(database: Path) -> None:
    """Return once the log is short, or after PATIENCE."""
    log = database.with_name(f"{database.name}-wal")
    for _ in range(int(PATIENCE / LOOK)):
        if _size(log) < LOG_BYTES:
            return
        await asyncio.sleep(LOOK)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
