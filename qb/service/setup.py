"""Makes a data directory: qb.db, keys.db, the server's secret and a place for blobs, all or nothing."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from qb.domain.errors import Conflict
from qb.domain.times import iso
from qb.service import datadir
from qb.service.secrets import ADMIN, PREFIX_CHARS, REGISTRATION, digest, new_secret
from qb.store.keys import ApiKey, add_key, open_keys
from qb.store.migrations import migrate
from qb.store.registration_tokens import RegistrationToken, add_token


@dataclass(frozen=True, slots=True)
class Initialised:
    """The two credentials of a new control plane; they are shown this once and cannot be had again."""

    admin_key: str
    registration_token: str


def initialise(data_dir: Path, *, now: datetime) -> Initialised:
    """Make `data_dir` ready to be served; it may exist. A failure leaves nothing behind.

    Raises Conflict when a control plane lives there already, OSError when it cannot be written.
    """
    for part in datadir.PARTS[1:]:
        if (data_dir / part).exists():
            raise Conflict(f"{data_dir} already holds a control plane ({part}): serve it, or name another directory")
    with datadir.new(data_dir) as staging:
        return _fill(staging, now)


def _fill(place: Path, now: datetime) -> Initialised:
    (place / "blobs").mkdir(mode=0o700)
    secret = place / "secret"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_hex(32) + "\n", "ascii")
    made = Initialised(new_secret(ADMIN), new_secret(REGISTRATION))
    _write_keys(place / "keys.db", made, iso(now))
    migrate(place / "qb.db")
    (place / "qb.db").chmod(0o640)
    return made


def _write_keys(path: Path, made: Initialised, at: str) -> None:
    admin, token = made.admin_key, made.registration_token
    db = open_keys(path)
    try:
        add_key(db, ApiKey(str(uuid4()), admin[:PREFIX_CHARS], digest(admin), "admin", "admin", at))
        add_token(db, RegistrationToken(str(uuid4()), token[:PREFIX_CHARS], digest(token), "*", False, at))
    finally:
        db.close()
