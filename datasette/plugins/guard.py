"""What keeps the dashboard read-only and shut in: query-only connections and headers on every reply."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl

App = Callable[..., Awaitable[None]]

# Datasette's own pages carry inline scripts and styles. Ours carry none and send a stricter policy themselves.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
}
_INTERNAL = "_internal"
"""Datasette's own in-memory catalogue, which it must be able to write."""


@hookimpl
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Refuse writes on every connection to a file, and leave checkpoints to the one writer, the control plane."""
    if database != _INTERNAL:
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        conn.execute("PRAGMA query_only = ON")
        conn.set_authorizer(_no_other_file)


@hookimpl
def asgi_wrapper() -> Callable[[App], App]:
    """Add the headers to replies that do not bring their own."""

    def wrap(app: App) -> App:
        async def guarded(scope: dict[str, Any], receive: Any, send: Any) -> None:
            async def send_with_headers(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    headers = list(message.get("headers", []))
                    present = {bytes(name).lower() for name, _ in headers}
                    headers += [item for item in _HEADERS.items() if item[0] not in present]
                    message = {**message, "headers": headers}
                await send(message)

            await app(scope, receive, send_with_headers)

        return guarded

    return wrap


def _no_other_file(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK
