"""Outgoing webhooks: what happens to tasks is queued durably, by what is committed, and told until it is heard."""

import sqlite3
import uuid
from typing import Any

import orjson

from qb.contract.acts import Action
from qb.contract.webhooks import WebhookCreate
from qb.domain.errors import Conflict, Invalid, NotFound, Unreachable
from qb.domain.times import iso
from qb.domain.webhooks import event_name
from qb.service import audit
from qb.service.audit import Actor
from qb.service.core import Core
from qb.service.destinations import pin
from qb.store import webhooks as store
from qb.store.webhooks import StoredWebhook

MOST = 50
"""Webhooks at most."""

QUEUE_LIMIT = 10_000
"""Deliveries that wait for one webhook at most; what comes then is dropped, and counted."""

EVENTS_AT_ONCE = 1000
MESSAGE_CHARS = 1000


class Webhooks:
    """Use cases about webhooks. `every` is in memory: whoever has none pays nothing."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.by_id: dict[str, StoredWebhook] = {}

    async def load(self) -> None:
        """Read them once, when the server starts."""
        self.by_id = {each.id: each for each in await self._core.keys.run(store.every)}

    def secret(self, webhook_id: str) -> str:
        """What signs the webhook's deliveries; derived, so that it is kept nowhere."""
        return self._core.credentials.webhook_secret(webhook_id)

    async def create(self, actor: Actor, body: WebhookCreate) -> dict[str, Any]:
        """Tell `body.url` of events from now on; returns WebhookCreated.

        Raises Invalid for a URL that cannot be, whose host is not known or which leads where nothing may go, and
        Conflict when there are too many.
        """
        if len(self.by_id) >= MOST:
            raise Conflict(f"there are {MOST} webhooks already: remove one first")
        try:
            await pin(body.url, self._core.settings.operations.webhook_networks)
        except Unreachable as error:
            raise Invalid(f"url: {error}") from error
        now = self._core.clock()
        webhook_id = str(uuid.uuid4())

        def begin(db: sqlite3.Connection) -> int:
            newest = store.newest(db)
            if not self.by_id:
                store.set_cursor(db, newest)
            audit.note(db, actor, Action.WEBHOOK_CREATED, webhook_id, now=now)
            return newest

        after = await self._core.writer.run(begin)
        events = " ".join(sorted(set(body.events)))
        made = StoredWebhook(
            webhook_id, body.url, events, body.description, iso(now), actor.identity.name, after_event=after
        )
        await self._core.keys.run(lambda db: store.add(db, made))
        self.by_id[webhook_id] = made
        return _public(made, {}, None) | {"secret": self.secret(webhook_id)}

    async def every(self) -> list[dict[str, Any]]:
        """Every webhook, in the shape of Webhook."""
        hooks = list(self.by_id.values())

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            counts = store.counts(db)
            return [_public(hook, counts.get(hook.id, {}), store.last_error(db, hook.id)) for hook in hooks]

        return await self._core.readers.run(read)

    async def remove(self, actor: Actor, webhook_id: str) -> dict[str, Any]:
        """Tell it nothing more, what waits included; returns Webhook. Raises NotFound."""
        hook = self.by_id.pop(webhook_id, None)
        if hook is None:
            raise NotFound(f"no webhook {webhook_id[:64]}; `qb webhook list` shows those there are")
        await self._core.keys.run(lambda db: store.remove(db, webhook_id))
        now = self._core.clock()

        def end(db: sqlite3.Connection) -> None:
            store.forget(db, webhook_id)
            audit.note(db, actor, Action.WEBHOOK_REMOVED, webhook_id, now=now)

        await self._core.writer.run(end)
        return _public(hook, {}, None)

    async def queue_news(self) -> None:
        """Queue a delivery for all that was committed since the last look, and for each webhook that wants it."""
        while self.by_id and not self._core.stopping.is_set():
            after, upto = await self._core.readers.run(_span)
            if upto <= after:
                return
            now = iso(self._core.clock())
            news = await self._core.readers.run(lambda db, a=after, u=upto: store.news(db, a, u))  # type: ignore[misc]
            hooks = list(self.by_id.values())
            await self._core.writer.run(lambda db, n=news, u=upto, h=hooks, t=now: _queue(db, h, n, u, t))  # type: ignore[misc]


def _span(db: sqlite3.Connection) -> tuple[int, int]:
    after = store.cursor(db)
    return after, min(store.newest(db), after + EVENTS_AT_ONCE)


def _queue(db: sqlite3.Connection, hooks: list[StoredWebhook], news: list[sqlite3.Row], upto: int, now: str) -> None:
    for hook in hooks:
        wanted = set(hook.events.split())
        deliveries: list[dict[str, object]] = []
        for row in news:
            name = event_name(row["kind"], row["status"])
            if name in wanted and row["id"] > hook.after_event:
                ids = {"webhook_id": hook.id, "event_id": row["id"]}
                deliveries.append({**ids, "kind": name, "body": _body(hook, row, name), "now": now})
        if deliveries:
            room = max(0, QUEUE_LIMIT - store.waiting(db, hook.id))
            store.queue(db, deliveries[:room])
            store.queue(db, deliveries[room:], dropped=True)
    store.set_cursor(db, upto)


def _body(hook: StoredWebhook, row: sqlite3.Row, name: str) -> str:
    told = {"id": f"{hook.id}-{row['id']}", "type": name, "event_id": row["id"]}
    told |= {key: row[key] for key in ("at", "task_id", "title", "status", "attempt", "node_id", "reason")}
    return orjson.dumps(told | {"message": row["message"] and row["message"][:MESSAGE_CHARS]}).decode()


def _public(hook: StoredWebhook, counts: dict[str, int], error: str | None) -> dict[str, Any]:
    return {
        "id": hook.id,
        "url": hook.url,
        "events": hook.events.split(),
        "description": hook.description,
        "created_at": hook.created_at,
        "created_by": hook.created_by,
        **{outcome: counts.get(outcome, 0) for outcome in ("waiting", "delivered", "failed", "dropped")},
        "last_error": error,
    }
