"""Streamable HTTP: every request brings the API key whose rights it has; without a good one nothing is answered."""

import hashlib
import json
import time
from collections.abc import Callable

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from qb.client import ClientError, Refused
from qb.fleet_mcp.callers import API_KEYS, Caller, Target, client_of, from_headers

PATH = "/mcp"
MOST_BODY = 1 << 20
KNOWN_FOR = 30.0
"""Seconds for which a key that was good opens this door; the orchestrator checks each call anyway."""

MOST_KNOWN = 1000
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Clock = Callable[[], float]


def app(server: MCPServer[None], target: Target, *, host: str, names: tuple[str, ...] = ()) -> ASGIApp:
    """The application, without sessions: nothing of one request can be taken over by another.

    `names`: the Host headers that are answered, with their port or `:*`, beside those of loopback.
    """
    local = [f"[{each}]" if ":" in each else each for each in {*LOOPBACK, host}]
    hosts = [*(f"{each}:*" for each in local), *local, *names]
    origins = [f"{scheme}://{each}" for each in hosts for scheme in ("http", "https")]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)
    inner = server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, max_request_body_size=MOST_BODY, transport_security=security
    )
    return Door(inner, target)


class Door:
    """Lets requests in whose key the orchestrator knows: 401 for others, 503 when it cannot be asked."""

    def __init__(self, inner: ASGIApp, target: Target, clock: Clock = time.monotonic) -> None:
        self._inner = inner
        self._target = target
        self._clock = clock
        self._known: dict[bytes, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        try:
            good = await self._good(from_headers(Headers(scope=scope)))
        except ClientError as error:
            await _refuse(send, 503, "temporarily_unavailable", f"the key cannot be checked: {error}")
            return
        if good:
            await self._inner(scope, receive, send)
        else:
            await _refuse(send, 401, "invalid_token", "send a good API key as `Authorization: Bearer KEY`")

    async def _good(self, caller: Caller) -> bool:
        key = caller.api_key
        if key is None or not key.startswith(API_KEYS) or not key.isascii() or not key.isprintable():
            return False
        name = hashlib.sha256(key.encode()).digest()
        if self._known.get(name, 0.0) > self._clock():
            return True
        if not await to_thread.run_sync(self._asks, caller):
            self._known.pop(name, None)
            return False
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[name] = self._clock() + KNOWN_FOR
        return True

    def _asks(self, caller: Caller) -> bool:
        try:
            with client_of(self._target, caller) as client:
                client.tasks(limit=1)
        except Refused as error:
            if error.status in (401, 403):
                # 403: known, but it may not read; what it may do, each call will tell
                return error.status == 403
            raise
        return True


async def _refuse(send: Send, status: int, error: str, detail: str) -> None:
    body = json.dumps({"error": error, "error_description": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", f'Bearer error="{error}"'.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
