"""A file that the agent leaves with its task."""

import base64
import hashlib
import os
import stat
from pathlib import Path

from qb.client.api import QbClient
from qb.client.errors import ClientError
from qb.contract.tasks import Artifact
from qb.contract.text import check_file_name


class NoFile(ClientError):
    """The path leads to nothing that can be sent."""


def check_path(path: Path) -> None:
    """Raises NoFile, saying why, when there is no plain file of a usable name at `path`."""
    try:
        check_file_name(path.name)
        kind = path.stat().st_mode
    except ValueError as error:
        raise NoFile(f"{str(path)!r} names no file that can be sent: its name {error}") from error
    except OSError as error:
        raise NoFile(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if not stat.S_ISREG(kind):
        raise NoFile(f"{str(path)!r} is not a plain file: attach files one by one, or an archive of a folder")


def send_file(client: QbClient, task_id: str, path: Path) -> Artifact:
    """Send the file under its own name, in place of one of the same name. Raises ClientError."""
    check_path(path)
    try:
        # what a path leads to may have changed since: a pipe must not hold the reporter up
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
            file.seek(0)
            return client.put_artifact(task_id, path.name, file, f"sha-256={digest}")
    except OSError as error:
        raise NoFile(f"cannot read {str(path)!r}: {error.strerror or error}") from error
