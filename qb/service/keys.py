"""API keys: made, shown, rotated, revoked, removed. What is changed is effective on the next request."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog

from qb.contract.acts import Action
from qb.contract.keys import KeyChange, KeyCreate
from qb.contract.scopes import USUAL_SCOPES, Role
from qb.domain.errors import Conflict, Invalid, NotFound, StorageFull
from qb.domain.etags import key_tag, require
from qb.domain.times import after, iso, parse
from qb.service import audit
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.secrets import ADMIN, PREFIX_CHARS, SCOPED, digest, new_secret
from qb.store import key_limits
from qb.store import keys as store
from qb.store.keys import ApiKey

HOUR = 3600.0
log = structlog.get_logger(__name__)


class Keys:
    """Use cases about API keys."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._one_by_one = asyncio.Lock()
        """Who changes a key reads it first and tells the log: meanwhile nobody else does."""

    async def create(self, actor: Actor, body: KeyCreate) -> dict[str, Any]:
        """Make a key; returns KeyCreated, whose secret cannot be had again. Raises Invalid."""
        if body.role is Role.ADMIN and (body.scopes or body.allowed_node_patterns or body.allowed_node_tags):
            raise Invalid("role: an admin key may do everything; make a scoped key to limit scopes or nodes")
        now = self._core.clock()
        secret = new_secret(ADMIN if body.role is Role.ADMIN else SCOPED)
        scopes = USUAL_SCOPES if body.scopes is None else tuple(dict.fromkeys(body.scopes))
        key = ApiKey(
            id=str(uuid4()),
            prefix=secret[:PREFIX_CHARS],
            hash=digest(secret),
            name=body.name,
            role=body.role.value,
            created_at=iso(now),
            expires_at=in_days(now, body.expires_in_days),
            description=body.description,
            scopes=() if body.role is Role.ADMIN else tuple(scope.value for scope in scopes),
            node_patterns=tuple(dict.fromkeys(body.allowed_node_patterns)),
            node_tags=tuple(sorted(body.allowed_node_tags.items())),
            rate_limit=body.rate_limit,
            max_running=body.max_running,
        )
        # The log first: no key comes to be that it does not know of.
        await self._note(actor, Action.KEY_CREATED, key, now, role=key.role, scopes=list(key.scopes))
        await self._core.keys.run(lambda db: store.add_key(db, key))
        self._core.credentials.know_key(key)
        return shown(key) | {"api_key": secret}

    async def every(self) -> list[dict[str, Any]]:
        """All keys in the shape of Key, the oldest first."""
        return [shown(key) for key in await self._core.keys.run(store.keys)]

    async def one(self, key_id: str) -> dict[str, Any]:
        """One key. Raises NotFound."""
        return shown(await self._there(key_id))

    async def change(self, actor: Actor, key_id: str, body: KeyChange, *, if_match: str | None) -> dict[str, Any]:
        """Change its limits, also for its tasks that wait already.

        Raises NotFound, PreconditionFailed when the key has changed since `if_match`, and Conflict for a key that is
        good for nothing any more, or for the last admin key when its time would end sooner.
        """
        async with self._one_by_one:
            key = await self._there(key_id)
            now, told = self._core.clock(), body.model_dump(exclude_unset=True)
            given = {name: value for name, value in told.items() if name != "expires_in_days"}
            if "expires_in_days" in told:
                given["expires_at"] = in_days(now, told["expires_in_days"])
            changed = replace(key, **given)
            self._check_change(key, changed, now, if_match)
            if not given:
                return shown(key)
            await self._note(actor, Action.KEY_CHANGED, key, now, **told)
            await self._core.keys.run(lambda db: store.change(db, changed))
            found = shown(await self._reload(key_id))
            if "max_running" in given:
                # After the credentials, so that no task is made meanwhile that would not know of it. The scheduler's
                # next tick wakes who may start more now.
                await self._core.writer.run(lambda db: key_limits.change(db, key_id, changed.max_running))
            return found

    def _check_change(self, key: ApiKey, changed: ApiKey, now: datetime, if_match: str | None) -> None:
        require(if_match, key_tag(shown(key)))
        if key.revoked_at is not None:
            raise Conflict(f"key {key.name!r} is revoked: make a new one")
        was, will = (parse(each.expires_at) if each.expires_at else None for each in (key, changed))
        if was is not None and was <= now:
            raise Conflict(f"key {key.name!r} has expired: make a new one")
        if will is not None and (was is None or will < was):
            self._keep_one_admin(key, will)

    async def rotate(self, actor: Actor, key_id: str, *, grace_hours: float) -> dict[str, Any]:
        """Give the key a new secret; returns KeyCreated. The old one stays good for `grace_hours`.

        With 0 every former secret of the key ends at once. Raises NotFound, and Conflict for a revoked key.
        """
        async with self._one_by_one:
            key = await self._there(key_id)
            if key.revoked_at is not None:
                raise Conflict(f"key {key.name!r} is revoked: make a new one")
            now = self._core.clock()
            secret = new_secret(ADMIN if key.role == Role.ADMIN else SCOPED)
            prefix, hashed = secret[:PREFIX_CHARS], digest(secret)
            until = after(now, grace_hours * HOUR) if grace_hours else None
            await self._note(actor, Action.KEY_ROTATED, key, now, grace_period_hours=grace_hours)
            await self._core.keys.run(
                lambda db: store.rotate(db, key, prefix=prefix, hashed=hashed, now=iso(now), valid_until=until)
            )
            return shown(await self._reload(key_id)) | {"api_key": secret}

    async def revoke(self, actor: Actor, key_id: str) -> dict[str, Any]:
        """Make the key good for nothing; idempotent. Raises NotFound, and Conflict for the last admin key."""
        async with self._one_by_one:
            key = await self._there(key_id)
            if key.revoked_at is not None:
                return shown(key)
            self._keep_one_admin(key)
            now = self._core.clock()
            self._core.credentials.forget_key(key_id)
            await self._note(actor, Action.KEY_REVOKED, key, now)
            await self._core.keys.run(lambda db: store.revoke(db, key_id, now=iso(now)))
            return shown(replace(key, revoked_at=iso(now)))

    async def remove(self, actor: Actor, key_id: str) -> dict[str, Any]:
        """Forget the key; returns it as it was. Raises NotFound, and Conflict for the last admin key."""
        async with self._one_by_one:
            key = await self._there(key_id)
            if key.revoked_at is None:
                self._keep_one_admin(key)
            self._core.credentials.forget_key(key_id)
            await self._note(actor, Action.KEY_REMOVED, key, self._core.clock())
            await self._core.keys.run(lambda db: store.remove(db, key_id))
            return shown(key)

    def _keep_one_admin(self, key: ApiKey, at: datetime | None = None) -> None:
        """Raise Conflict when without this key nobody could administer now, or `at` that time."""
        if key.role != Role.ADMIN or self._core.credentials.other_admins(key.id, at):
            return
        if at is not None:
            raise Conflict(f"key {key.name!r} would leave no admin key when it expires: make another one first")
        raise Conflict(f"key {key.name!r} is the only admin key: make another one first, or rotate it")

    async def _there(self, key_id: str) -> ApiKey:
        key = await self._core.keys.run(lambda db: store.key(db, key_id))
        if key is None:
            raise NotFound(f"no key {key_id}")
        return key

    async def _reload(self, key_id: str) -> ApiKey:
        key, former = await self._core.keys.run(lambda db: (store.key(db, key_id), store.former_secrets(db)))
        if key is None:
            raise NotFound(f"key {key_id} was removed meanwhile")
        self._core.credentials.know_key(key, [each for each in former if each.key_id == key_id])
        return key

    async def _note(self, actor: Actor, action: Action, key: ApiKey, now: datetime, **detail: Any) -> None:
        said = {"name": key.name, "key_prefix": key.prefix, **detail}
        await self._core.writer.run(lambda db: audit.note(db, actor, action, key.id, now=now, detail=said))


async def apply_limits(core: Core) -> None:
    """Let what waits follow what its key says: a crash may have come between the two when a limit was changed."""
    limits = {key.id: key.max_running for key in await core.keys.run(store.keys)}
    differ = await core.readers.run(lambda db: key_limits.differing(db, limits))
    if not differ:
        return

    def work(db: sqlite3.Connection) -> None:
        for key_id in differ:
            key_limits.change(db, key_id, limits[key_id])

    try:
        await core.writer.run(work)
    except StorageFull as error:
        log.error("limits of keys hold for what waits after a start with more room", error=str(error))


def in_days(now: datetime, days: float | None) -> str | None:
    """The moment `days` from now, as text; None for none."""
    return None if days is None else iso(now + timedelta(days=days))


def shown(key: ApiKey) -> dict[str, Any]:
    """The key in the shape of Key: everything but its hash."""
    return {
        "id": key.id,
        "name": key.name,
        "description": key.description,
        "key_prefix": key.prefix,
        "role": key.role,
        "scopes": list(key.scopes),
        "allowed_node_patterns": list(key.node_patterns),
        "allowed_node_tags": dict(key.node_tags),
        "rate_limit": key.rate_limit,
        "max_running": key.max_running,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "rotated_at": key.rotated_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
