"""How many connections are served, and for how long."""

import resource

BACKLOG = 4096
KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than a heartbeat's interval."""

OLD_WORKER_SECONDS = 4
"""What a stopping worker has for the requests in hand; long polls and streams end at once."""

STOP_SECONDS = 20
"""What it has in all: then the writes that were accepted, and the replica's last changes, must be done."""

MAX_CONNECTIONS = 16_000
SPARE_FILES = 256


def connection_limit() -> int:
    """How many connections are served at once: what the open files allow, within reason."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MAX_CONNECTIONS, files - SPARE_FILES) if files > 0 else MAX_CONNECTIONS


def raise_file_limit() -> None:
    """Allow as many open files as may be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
