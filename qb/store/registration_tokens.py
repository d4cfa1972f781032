"""Registration tokens, hashed, in keys.db: what lets machines join."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """Lets machines join, for names that match `name_glob`. A use is a new name; None uses without end."""

    id: str
    prefix: str
    hash: str
    name_glob: str
    allows_push: bool
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    description: str | None = None
    max_uses: int | None = None
    uses: int = 0
    last_used_at: str | None = None


_COLUMNS = tuple(field.name for field in fields(RegistrationToken))
_ADD = f"INSERT INTO registration_tokens ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_VALID = "SELECT * FROM registration_tokens WHERE revoked_at IS NULL ORDER BY created_at, id"
_REMOVE = "DELETE FROM registration_tokens WHERE id = ?"
_SPEND = """
UPDATE registration_tokens SET uses = uses + 1 WHERE id = ? AND (max_uses IS NULL OR uses < max_uses)
"""
_GIVE_BACK = "UPDATE registration_tokens SET uses = uses - 1 WHERE id = ? AND uses > 0"
_USED = "UPDATE registration_tokens SET last_used_at = ? WHERE id = ?"


def add_token(db: sqlite3.Connection, token: RegistrationToken) -> None:
    """Store a registration token."""
    db.execute(_ADD, [getattr(token, name) for name in _COLUMNS])


def tokens(db: sqlite3.Connection) -> list[RegistrationToken]:
    """Every registration token that is not revoked, the oldest first; some may have expired."""
    return [RegistrationToken(**{**dict(row), "allows_push": bool(row["allows_push"])}) for row in db.execute(_VALID)]


def remove(db: sqlite3.Connection, token_id: str) -> None:
    """Forget the token."""
    db.execute(_REMOVE, (token_id,))


def spend(db: sqlite3.Connection, token_id: str) -> bool:
    """Take one use for a new name; False when none is left."""
    return db.execute(_SPEND, (token_id,)).rowcount == 1


def give_back(db: sqlite3.Connection, token_id: str) -> None:
    """The name did not join after all."""
    db.execute(_GIVE_BACK, (token_id,))


def used(db: sqlite3.Connection, token_ids: Iterable[str], *, now: str) -> None:
    """Note that these tokens were used lately."""
    db.executemany(_USED, ((now, token_id) for token_id in token_ids))
