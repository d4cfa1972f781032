"""The runner's state directory: one instance at a time, its identity, its credentials."""

import fcntl
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


class StateError(Exception):
    """The state directory cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is to which orchestrator."""

    url: str
    name: str
    node_id: str
    api_key: str


class StateDir:
    """An open, locked state directory, mode 0700. Raises StateError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs = path / "logs"
            self.logs.mkdir(exist_ok=True, mode=0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"cannot use {path}: {error.strerror}; give another with --state-dir") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StateError(
                f"{path} is in use by another runner; stop it, or give this one its own --state-dir"
            ) from None
        except OSError as error:
            os.close(self._lock)
            raise StateError(f"cannot lock {path}: {error.strerror}; give another with --state-dir") from error
        try:
            self.runner_id = self._runner_id()
        except (OSError, UnicodeError) as error:
            os.close(self._lock)
            why = error.strerror if isinstance(error, OSError) else error
            raise StateError(f"cannot use {path}: {why}; give another with --state-dir") from error

    def close(self) -> None:
        """Let the next runner in."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def identity(self, url: str) -> Identity | None:
        """Who this node is to the orchestrator at `url`, when it has joined that one."""
        try:
            found = Identity(**json.loads((self.path / "node.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.url == url else None

    def remember(self, identity: Identity) -> None:
        """Keep the identity for the next start, mode 0600, whole or not at all. Raises StateError."""
        if identity == self.identity(identity.url):
            return
        try:
            self._write("node.json", json.dumps(asdict(identity), indent=1))
        except OSError as error:
            words = f"cannot write {self.path / 'node.json'}: {error.strerror}; make room or let this user write there"
            raise StateError(words) from error

    def _runner_id(self) -> str:
        path = self.path / "runner_id"
        try:
            known = path.read_text().strip()
        except FileNotFoundError:
            known = ""
        if known:
            return known
        self._write("runner_id", fresh := uuid.uuid4().hex)
        return fresh

    def _write(self, name: str, text: str) -> None:
        draft = self.path / f".{name}.new"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
        draft.replace(self.path / name)
