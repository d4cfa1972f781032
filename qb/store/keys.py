"""keys.db: hashed API keys and registration tokens, in a file of its own that no dashboard opens.

The file has mode 0600. A secret is random and 256 bits long, so a plain SHA-256 keeps it; only its prefix can
be shown again.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database, Migrations

from qb.store.database import connect

schema = Migrations("keys")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An operator's or external system's key. `hash` is SHA-256 in hex; times are ISO 8601 UTC."""

    id: str
    prefix: str
    hash: str
    name: str
    role: str
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """What lets machines join, for names that match `name_glob`."""

    id: str
    prefix: str
    hash: str
    name_glob: str
    allows_push: bool
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None


@schema()
def m001_first_keys(db: Database) -> None:
    """Keys and registration tokens."""
    db.execute("""
        CREATE TABLE api_keys (
            id TEXT PRIMARY KEY, prefix TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('admin', 'scoped')),
            created_at TEXT NOT NULL, expires_at TEXT, revoked_at TEXT
        ) WITHOUT ROWID""")
    db.execute("""
        CREATE TABLE registration_tokens (
            id TEXT PRIMARY KEY, prefix TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, name_glob TEXT NOT NULL,
            allows_push INTEGER NOT NULL, created_at TEXT NOT NULL, expires_at TEXT, revoked_at TEXT
        ) WITHOUT ROWID""")


ADD_KEY = """
INSERT INTO api_keys (id, prefix, hash, name, role, created_at, expires_at, revoked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

ADD_REGISTRATION = """
INSERT INTO registration_tokens (id, prefix, hash, name_glob, allows_push, created_at, expires_at, revoked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

VALID_KEYS = """
SELECT id, prefix, hash, name, role, created_at, expires_at, revoked_at
FROM api_keys WHERE revoked_at IS NULL"""

VALID_TOKENS = """
SELECT id, prefix, hash, name_glob, allows_push, created_at, expires_at, revoked_at
FROM registration_tokens WHERE revoked_at IS NULL"""


def open_keys(path: Path) -> sqlite3.Connection:
    """Open keys.db (made with mode 0600 when missing), its schema up to date. The caller closes it."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    connection = connect(path)
    schema.apply(Database(connection))
    return connection


def add_key(db: sqlite3.Connection, key: ApiKey) -> None:
    """Store a key."""
    values = (key.id, key.prefix, key.hash, key.name, key.role, key.created_at, key.expires_at, key.revoked_at)
    db.execute(ADD_KEY, values)


def add_token(db: sqlite3.Connection, token: RegistrationToken) -> None:
    """Store a registration token."""
    ends = (token.created_at, token.expires_at, token.revoked_at)
    db.execute(ADD_REGISTRATION, (token.id, token.prefix, token.hash, token.name_glob, token.allows_push, *ends))


def keys(db: sqlite3.Connection) -> list[ApiKey]:
    """Every key that is not revoked; some may have expired."""
    return [ApiKey(**row) for row in db.execute(VALID_KEYS)]


def tokens(db: sqlite3.Connection) -> list[RegistrationToken]:
    """Every registration token that is not revoked; some may have expired."""
    rows = db.execute(VALID_TOKENS)
    return [RegistrationToken(**{**dict(row), "allows_push": bool(row["allows_push"])}) for row in rows]
