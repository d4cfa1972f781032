"""Registration tokens: made, shown, removed, and spent when a new name joins."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from qb.contract.acts import Action
from qb.contract.keys import TokenCreate
from qb.domain.errors import Forbidden, NotFound
from qb.domain.times import iso
from qb.service import audit
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.keys import in_days
from qb.service.secrets import PREFIX_CHARS, REGISTRATION, digest, new_secret
from qb.store import registration_tokens as store
from qb.store.registration_tokens import RegistrationToken


class RegistrationTokens:
    """Use cases about registration tokens."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(self, actor: Actor, body: TokenCreate) -> dict[str, Any]:
        """Make a token; returns TokenCreated, whose secret cannot be had again."""
        now = self._core.clock()
        secret = new_secret(REGISTRATION)
        token = RegistrationToken(
            id=str(uuid4()),
            prefix=secret[:PREFIX_CHARS],
            hash=digest(secret),
            name_glob=body.name_glob,
            allows_push=body.allows_push,
            created_at=iso(now),
            expires_at=in_days(now, body.expires_in_days),
            description=body.description,
            max_uses=body.max_uses,
        )
        await self._note(actor, Action.TOKEN_CREATED, token)
        await self._core.keys.run(lambda db: store.add_token(db, token))
        self._core.credentials.registration.know(token)
        return shown(token) | {"token": secret}

    async def every(self) -> list[dict[str, Any]]:
        """All tokens in the shape of Token, the oldest first."""
        return [shown(token) for token in await self._core.keys.run(store.tokens)]

    async def remove(self, actor: Actor, token_id: str) -> dict[str, Any]:
        """Let nobody join with it from the next request on; who has joined stays. Raises NotFound."""
        found = [token for token in await self._core.keys.run(store.tokens) if token.id == token_id]
        if not found:
            raise NotFound(f"no registration token {token_id}")
        self._core.credentials.registration.forget(token_id)
        await self._note(actor, Action.TOKEN_REMOVED, found[0])
        await self._core.keys.run(lambda db: store.remove(db, token_id))
        return shown(found[0])

    async def _note(self, actor: Actor, action: Action, token: RegistrationToken) -> None:
        now = self._core.clock()
        said = {"token_prefix": token.prefix, "name_glob": token.name_glob}
        await self._core.writer.run(lambda db: audit.note(db, actor, action, token.id, now=now, detail=said))


@asynccontextmanager
async def spent(core: Core, token: RegistrationToken, *, new_name: bool) -> AsyncIterator[None]:
    """Take a use of the token for a new name, and give it back when the body of `async with` fails.

    Raises Forbidden when none is left: who joined with it before may still come back.
    """
    if not new_name or token.max_uses is None:
        yield
        return

    def take(db: sqlite3.Connection) -> bool:
        return store.spend(db, token.id)

    if not await core.keys.run(take):
        raise Forbidden(f"this registration token has let in {token.max_uses} nodes, all it may: ask for another one")
    try:
        yield
    except BaseException:
        await core.keys.run(lambda db: store.give_back(db, token.id))
        raise


def shown(token: RegistrationToken) -> dict[str, Any]:
    """The token in the shape of Token: everything but its hash."""
    return {
        "id": token.id,
        "description": token.description,
        "token_prefix": token.prefix,
        "name_glob": token.name_glob,
        "allows_push": token.allows_push,
        "max_uses": token.max_uses,
        "uses": token.uses,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }
