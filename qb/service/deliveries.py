"""Sends webhooks' deliveries: signed, each with a deadline, to a checked address, again and again until it is heard."""

import asyncio
import random
import sqlite3
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
import structlog

from qb.contract.webhooks import DELIVERY_HEADER, EVENT_HEADER, SIGNATURE_HEADER
from qb.domain import webhooks as rules
from qb.domain.errors import QuarterbackError
from qb.domain.times import after, iso
from qb.service.core import Core
from qb.service.destinations import Pinned, pin
from qb.service.webhooks import Webhooks
from qb.store import webhooks as store
from qb.store.webhooks import StoredWebhook, Waiting

TICK = 0.5
"""Seconds between two looks; without webhooks nothing is looked at."""

SECONDS = 10.0
"""The deadline of one delivery, from looking the name up to the answer's status."""

AT_ONCE = 4
"""Deliveries on their way to one webhook; a slow one keeps no other waiting."""

JITTER = 0.2
log = structlog.get_logger(__name__)


class Deliveries:
    """Runs as one task on the event loop."""

    def __init__(self, core: Core, webhooks: Webhooks) -> None:
        self._core = core
        self._webhooks = webhooks
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Queue and send until the server stops; what is on its way then is sent again after the next start."""
        async with httpx2.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=SECONDS,
            # Connections are to addresses: one kept for another name there would carry that name's certificate.
            limits=httpx2.Limits(max_keepalive_connections=0),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "all-time-quarterback"},
        ) as http:
            while not self._core.stopping.is_set():
                try:
                    await self._webhooks.queue_news()
                    self._begin(http)
                except (QuarterbackError, sqlite3.Error) as error:
                    log.error("webhooks failed, and are tried again", error=str(error))
                try:
                    await asyncio.wait_for(self._core.stopping.wait(), TICK)
                except TimeoutError:
                    continue
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    def _begin(self, http: httpx2.AsyncClient) -> None:
        self._busy = {key: task for key, task in self._busy.items() if not task.done()}
        for hook in self._webhooks.by_id.values():
            if hook.id not in self._busy:
                self._busy[hook.id] = asyncio.create_task(self._round(http, hook), name=f"webhook {hook.id}")

    async def _round(self, http: httpx2.AsyncClient, hook: StoredWebhook) -> None:
        """Send what is due to one webhook."""
        try:
            while hook.id in self._webhooks.by_id:
                now = iso(self._core.clock())
                waiting = await self._core.readers.run(lambda db, n=now: store.due(db, hook.id, n, AT_ONCE))  # type: ignore[misc]
                if not waiting:
                    return
                await asyncio.gather(*(self._deliver(http, hook, each) for each in waiting))
        except (QuarterbackError, sqlite3.Error) as error:
            log.error("a webhook's round failed, and is tried again", webhook=hook.id, error=str(error))

    async def _deliver(self, http: httpx2.AsyncClient, hook: StoredWebhook, waiting: Waiting) -> None:
        status, error = await self._send(http, hook, waiting)
        now = self._core.clock()
        moment = iso(now)
        if error is None:
            await self._core.writer.run(
                lambda db: store.done(db, waiting.id, "delivered", now=moment, status=status, error=None)
            )
            return
        pause = rules.pause(waiting.attempts + 1)
        if pause is None:
            log.warning("a webhook's delivery is given up", webhook=hook.id, event=waiting.event_id, error=error)
            await self._core.writer.run(
                lambda db: store.done(db, waiting.id, "failed", now=moment, status=status, error=error)
            )
            return
        due = after(now, pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - only spreads the tries
        await self._core.writer.run(lambda db: store.again(db, waiting.id, due=due, status=status, error=error))

    async def _send(
        self, http: httpx2.AsyncClient, hook: StoredWebhook, waiting: Waiting
    ) -> tuple[int | None, str | None]:
        """The answer's status, and what went wrong, if anything did."""
        body = waiting.body.encode()
        moment = int(self._core.clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            EVENT_HEADER: waiting.kind,
            DELIVERY_HEADER: f"{hook.id}-{waiting.event_id}",
            SIGNATURE_HEADER: rules.signature(self._webhooks.secret(hook.id), body, moment),
        }
        try:
            async with asyncio.timeout(SECONDS):
                addresses = await pin(hook.url, self._core.settings.operations.webhook_networks)
                status = await _post(http, addresses, body, headers)
        except TimeoutError:
            return None, f"no answer within {SECONDS:g} s"
        except QuarterbackError as error:
            return None, str(error)
        except httpx2.HTTPError as error:
            return None, f"not delivered: {error or type(error).__name__}"
        if 300 <= status < 400:
            return status, f"the answer was {status}: redirects are not followed; give the address it leads to"
        return status, None if 200 <= status < 300 else f"the answer was {status}"


async def _post(http: httpx2.AsyncClient, addresses: list[Pinned], body: bytes, headers: dict[str, str]) -> int:
    """The status that the first address answers which takes a connection."""
    for left, pinned in zip(reversed(range(len(addresses))), addresses, strict=True):
        own = {**headers, **pinned.headers}
        try:
            async with http.stream(
                "POST", pinned.url, content=body, headers=own, extensions=pinned.extensions
            ) as answer:
                return int(answer.status_code)  # the body is left unread: nobody knows how long it is
        except httpx2.ConnectError:
            if not left:
                raise
    raise AssertionError("a name has one address at least")
