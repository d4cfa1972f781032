"""`dashboard/` in a data directory: Datasette's secret, accounts, sign-in links that wait, the address. Mode 0700."""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

PATIENCE = 10.0
"""Seconds that a change waits for another process to finish its own, which takes milliseconds."""
_LOOK = 0.02
_SECRET = re.compile(rb"[0-9a-f]{64}")


class DashboardError(Exception):
    """The dashboard cannot do what was asked; the message names the reason and the mend."""


class NotThere(DashboardError):
    """What was named is not there."""


class NotAllowed(DashboardError):
    """What was given cannot be."""


class Unreadable(DashboardError):
    """A file of the dashboard's is damaged, or not its own to read."""


class Place:
    """The files of one dashboard; each is made when it is first needed, with mode 0600."""

    def __init__(self, data_dir: Path) -> None:
        self.database = data_dir / "qb.db"
        self.folder = data_dir / "dashboard"
        self.accounts = self.folder / "accounts.json"
        self.links = self.folder / "links"
        self._secret = self.folder / "secret"
        self._address = self.folder / "address"

    @classmethod
    def of(cls, data_dir: Path) -> "Place":
        """The place in a control plane's data directory. Raises NotThere where none is."""
        place = cls(data_dir)
        if not place.database.is_file():
            raise NotThere(f"{data_dir} holds no qb.db: name the data directory of a control plane")
        place.links.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.folder.chmod(0o700)
        return place

    def secret(self) -> str:
        """What signs sessions and links, 64 hexadecimal digits; the same after a restart. Raises Unreadable."""
        with self.alone():
            if not self._secret.exists():
                write(self._secret, secrets.token_hex(32) + "\n")
        found = self._secret.read_bytes().strip()
        if not _SECRET.fullmatch(found):
            raise Unreadable(f"{self._secret} is damaged: remove it, and all sign in again")
        return found.decode("ascii")

    def note_address(self, url: str) -> None:
        """Keep where browsers reach the dashboard, for the links that are made later."""
        write(self._address, url + "\n")

    def address(self) -> str | None:
        """Where browsers reach the dashboard that was started last, without a trailing slash."""
        with suppress(FileNotFoundError, UnicodeDecodeError):
            return self._address.read_text("utf-8").strip()
        return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process changes these files meanwhile. Raises DashboardError when one will not let go."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            self._lock(handle)
            yield
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DashboardError(
                        f"another process has held {self.folder} for {PATIENCE:.0f} s: stop it"
                    ) from None
                time.sleep(_LOOK)
            else:
                return


def write(path: Path, text: str) -> None:
    """Replace a file as a whole; only its owner may read it."""
    new = path.with_name(f".{path.name}.{uuid4().hex}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)  # a draft that could not be finished; nothing, once it has its name
