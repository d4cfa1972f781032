"""Makes a data directory: qb.db, keys.db, the server's secret and a place for blobs, all or nothing."""

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

from qb.domain.errors import Conflict
from qb.domain.times import iso
from qb.service.credentials import ADMIN, PREFIX_CHARS, REGISTRATION, digest, new_secret
from qb.store.keys import ApiKey, add_key, open_keys
from qb.store.migrations import migrate
from qb.store.registration_tokens import RegistrationToken, add_token

# qb.db goes in last: where it is, the directory is complete.
PARTS = ("blobs", "secret", "keys.db", "qb.db")


@dataclass(frozen=True, slots=True)
class Initialised:
    """The two credentials of a new control plane; they are shown this once and cannot be had again."""

    admin_key: str
    registration_token: str


def initialise(data_dir: Path, *, now: datetime) -> Initialised:
    """Make `data_dir` ready to be served; it may exist. A failure leaves nothing behind.

    Raises Conflict when a control plane lives there already, OSError when it cannot be written.
    """
    for part in PARTS[1:]:
        if (data_dir / part).exists():
            raise Conflict(f"{data_dir} already holds a control plane ({part}): serve it, or name another directory")
    created = not data_dir.exists()
    data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    moved: list[Path] = []
    try:
        staging = Path(mkdtemp(prefix=".init-", dir=data_dir))
        try:
            made = _fill(staging, now)
            _move(staging, data_dir, moved)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        _sync(data_dir)
    except BaseException:
        _undo(data_dir, moved, created)
        raise
    _sync(data_dir.parent)
    return made


def _fill(place: Path, now: datetime) -> Initialised:
    (place / "blobs").mkdir(mode=0o700)
    secret = place / "secret"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_hex(32) + "\n", "ascii")
    made = Initialised(new_secret(ADMIN), new_secret(REGISTRATION))
    _write_keys(place / "keys.db", made, iso(now))
    migrate(place / "qb.db")
    (place / "qb.db").chmod(0o640)
    for part in PARTS:
        _sync(place / part)
    return made


def _write_keys(path: Path, made: Initialised, at: str) -> None:
    admin, token = made.admin_key, made.registration_token
    db = open_keys(path)
    try:
        add_key(db, ApiKey(str(uuid4()), admin[:PREFIX_CHARS], digest(admin), "admin", "admin", at))
        add_token(db, RegistrationToken(str(uuid4()), token[:PREFIX_CHARS], digest(token), "*", False, at))
    finally:
        db.close()


def _move(staging: Path, data_dir: Path, moved: list[Path]) -> None:
    for part in PARTS:
        target = data_dir / part
        if part == "blobs" and target.is_dir():
            continue  # an empty or kept place for blobs serves as well
        (staging / part).rename(target)
        moved.append(target)


def _undo(data_dir: Path, moved: list[Path], created: bool) -> None:
    for target in moved:
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)
    if created:
        with suppress(OSError):
            data_dir.rmdir()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
