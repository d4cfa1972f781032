"""How keys, registration tokens and the audit log look in tables."""

from datetime import datetime

from qb.cli.durations import ago
from qb.cli.output import Column, joined
from qb.contract.audit import AuditEntry
from qb.contract.keys import Key, Token


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and datetime.fromisoformat(key.expires_at) <= now else "good"


def _nodes(key: Key) -> str:
    return joined([*key.allowed_node_patterns, *(f"{name}={value}" for name, value in key.allowed_node_tags.items())])


def _uses(token: Token) -> str:
    return str(token.uses) if token.max_uses is None else f"{token.uses} of {token.max_uses}"


KEYS: tuple[Column[Key], ...] = (
    Column("ID", lambda key, _: key.id, short=True),
    Column("NAME", lambda key, _: key.name, flexible=True),
    Column("KEY", lambda key, _: f"{key.key_prefix}…"),
    Column("ROLE", lambda key, _: key.role),
    Column("STATE", _state),
    Column("USED", lambda key, now: ago(key.last_used_at, now) or "never"),
    Column("EXPIRES", lambda key, now: ago(key.expires_at, now), wide=True),
    Column("SCOPES", lambda key, _: joined(key.scopes), wide=True),
    Column("NODES", lambda key, _: _nodes(key), wide=True),
    Column("RATE", lambda key, _: key.rate_limit, wide=True),
    Column("AT ONCE", lambda key, _: key.max_running, wide=True),
)

TOKENS: tuple[Column[Token], ...] = (
    Column("ID", lambda token, _: token.id, short=True),
    Column("TOKEN", lambda token, _: f"{token.token_prefix}…"),
    Column("NODES", lambda token, _: token.name_glob, flexible=True),
    Column("USES", lambda token, _: _uses(token)),
    Column("PUSH", lambda token, _: "yes" if token.allows_push else "no"),
    Column("EXPIRES", lambda token, now: ago(token.expires_at, now) or "never"),
    Column("USED", lambda token, now: ago(token.last_used_at, now) or "never", wide=True),
    Column("WHAT FOR", lambda token, _: token.description, wide=True),
)

AUDIT: tuple[Column[AuditEntry], ...] = (
    Column("ENTRY", lambda entry, _: entry.id, wide=True),
    Column("AT", lambda entry, _: entry.at[:19].replace("T", " ")),
    Column("WHO", lambda entry, _: entry.actor, flexible=True),
    Column("FROM", lambda entry, _: entry.address or "", flexible=True),
    Column("WHAT", lambda entry, _: entry.action.replace("_", " ")),
    Column("TIMES", lambda entry, _: entry.count if entry.count > 1 else ""),
    Column("OBJECT", lambda entry, _: (entry.object or "")[:8]),
    Column("MORE", lambda entry, _: joined(entry.detail), wide=True),
)


def key_sheet(key: Key, now: datetime) -> dict[str, object]:
    """What `qb key show` says of a key; empty entries are left out."""
    return {
        "Id": key.id,
        "Name": key.name,
        "What for": key.description,
        "Begins": key.key_prefix,
        "Role": key.role,
        "State": _state(key, now),
        "Scopes": joined(key.scopes),
        "Nodes": joined(key.allowed_node_patterns),
        "Tags": joined(key.allowed_node_tags),
        "Requests a minute": key.rate_limit,
        "Tasks at once": key.max_running,
        "Created": ago(key.created_at, now),
        "Expires": ago(key.expires_at, now),
        "Rotated": ago(key.rotated_at, now),
        "Revoked": ago(key.revoked_at, now),
        "Last used": ago(key.last_used_at, now),
    }


def token_sheet(token: Token, now: datetime) -> dict[str, object]:
    """What is said of a registration token; empty entries are left out."""
    return {
        "Id": token.id,
        "What for": token.description,
        "Begins": token.token_prefix,
        "Nodes": token.name_glob,
        "May push": "yes" if token.allows_push else None,
        "Uses": _uses(token),
        "Created": ago(token.created_at, now),
        "Expires": ago(token.expires_at, now),
        "Last used": ago(token.last_used_at, now),
    }
