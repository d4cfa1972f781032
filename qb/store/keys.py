"""keys.db: hashed API keys, in a file of its own that no dashboard opens. Its schema is that of its neighbours too.

The file has mode 0600. A secret is random and 256 bits long, so a plain SHA-256 keeps it; only its prefix can
be shown again. Deleted bytes are overwritten.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from sqlite_utils import Database, Migrations

from qb.store import webhooks
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
    description: str | None = None
    scopes: tuple[str, ...] = ()
    node_patterns: tuple[str, ...] = ()
    node_tags: tuple[tuple[str, str], ...] = ()
    rate_limit: int | None = None
    max_running: int | None = None
    rotated_at: str | None = None
    last_used_at: str | None = None


@dataclass(frozen=True, slots=True)
class FormerSecret:
    """What a rotated key was before, good until `valid_until`."""

    hash: str
    key_id: str
    valid_until: str


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


@schema()
def m002_scopes_rotation_and_env(db: Database) -> None:
    """What a scoped key may do, what a rotated one was, how often a token was used, and the env of tasks."""
    for column in (
        "description TEXT",
        "scopes TEXT NOT NULL DEFAULT '[]'",
        "node_patterns TEXT NOT NULL DEFAULT '[]'",
        "node_tags TEXT NOT NULL DEFAULT '[]'",
        "rate_limit INTEGER",
        "max_running INTEGER",
        "rotated_at TEXT",
        "last_used_at TEXT",
    ):
        db.execute(f"ALTER TABLE api_keys ADD COLUMN {column}")
    for column in ("description TEXT", "max_uses INTEGER", "uses INTEGER NOT NULL DEFAULT 0", "last_used_at TEXT"):
        db.execute(f"ALTER TABLE registration_tokens ADD COLUMN {column}")
    db.execute("""
        CREATE TABLE former_secrets (
            hash TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES api_keys(id) ON DELETE CASCADE,
            valid_until TEXT NOT NULL
        ) WITHOUT ROWID""")
    db.execute("CREATE TABLE task_env (id TEXT PRIMARY KEY, env TEXT NOT NULL, kept_at TEXT NOT NULL) WITHOUT ROWID")


@schema()
def m003_webhooks(db: Database) -> None:
    """Who is told of what happens to tasks."""
    db.execute(webhooks.SCHEMA)


_COLUMNS = tuple(field.name for field in fields(ApiKey))
_JSON = ("scopes", "node_patterns", "node_tags")
_ADD = f"INSERT INTO api_keys ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_ALL = "SELECT * FROM api_keys ORDER BY created_at, id"
_ONE = "SELECT * FROM api_keys WHERE id = ?"
_ROTATE = "UPDATE api_keys SET prefix = ?, hash = ?, rotated_at = ? WHERE id = ?"
_CHANGE = "UPDATE api_keys SET description = ?, rate_limit = ?, max_running = ?, expires_at = ? WHERE id = ?"
_REVOKE = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?"
_REMOVE = "DELETE FROM api_keys WHERE id = ?"
_USED = "UPDATE api_keys SET last_used_at = ? WHERE id = ?"
_ADD_FORMER = "INSERT INTO former_secrets (hash, key_id, valid_until) VALUES (?, ?, ?)"
_FORMER = "SELECT * FROM former_secrets"
_FORGET_FORMER = "DELETE FROM former_secrets WHERE key_id = ?"
_FORGET_PAST = "DELETE FROM former_secrets WHERE valid_until <= ?"


def open_keys(path: Path) -> sqlite3.Connection:
    """Open keys.db (made with mode 0600 when missing), its schema up to date. The caller closes it."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    connection = connect(path, secure_delete=True)
    schema.apply(Database(connection))
    return connection


def add_key(db: sqlite3.Connection, key: ApiKey) -> None:
    """Store a key."""
    values = [getattr(key, name) for name in _COLUMNS]
    db.execute(
        _ADD, [json.dumps(value) if name in _JSON else value for name, value in zip(_COLUMNS, values, strict=True)]
    )


def keys(db: sqlite3.Connection) -> list[ApiKey]:
    """Every key, the oldest first: revoked and expired ones too."""
    return [_key(row) for row in db.execute(_ALL)]


def key(db: sqlite3.Connection, key_id: str) -> ApiKey | None:
    """One key, or None."""
    row = db.execute(_ONE, (key_id,)).fetchone()
    return None if row is None else _key(row)


def rotate(db: sqlite3.Connection, old: ApiKey, *, prefix: str, hashed: str, now: str, valid_until: str | None) -> None:
    """Give the key a new secret; the old one stays good until `valid_until`, or with None no former one does."""
    db.execute(_ROTATE, (prefix, hashed, now, old.id))
    db.execute(_FORGET_PAST, (now,))
    if valid_until is None:
        db.execute(_FORGET_FORMER, (old.id,))
    else:
        db.execute(_ADD_FORMER, (old.hash, old.id, valid_until))


def change(db: sqlite3.Connection, key: ApiKey) -> None:
    """Store what may change of a key."""
    db.execute(_CHANGE, (key.description, key.rate_limit, key.max_running, key.expires_at, key.id))


def revoke(db: sqlite3.Connection, key_id: str, *, now: str) -> None:
    """Make the key, and what it was before, good for nothing; the first time counts."""
    db.execute(_REVOKE, (now, key_id))
    db.execute(_FORGET_FORMER, (key_id,))


def remove(db: sqlite3.Connection, key_id: str) -> None:
    """Forget the key."""
    db.execute(_REMOVE, (key_id,))


def former_secrets(db: sqlite3.Connection) -> list[FormerSecret]:
    """What rotated keys were before; some may be past their time."""
    return [FormerSecret(**row) for row in db.execute(_FORMER)]


def used(db: sqlite3.Connection, key_ids: Iterable[str], *, now: str) -> None:
    """Note that these keys were used lately."""
    db.executemany(_USED, ((now, key_id) for key_id in key_ids))


def _key(row: sqlite3.Row) -> ApiKey:
    values = dict(row)
    for name in ("scopes", "node_patterns"):
        values[name] = tuple(json.loads(values[name]))
    values["node_tags"] = tuple((tag, value) for tag, value in json.loads(values["node_tags"]))
    return ApiKey(**values)
