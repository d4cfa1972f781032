"""A spare HTTP/1.1 client on a raw socket: a thousand of them cost the bench next to nothing."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

WAIT = 60.0


class Connection:
    """One kept connection; requests go one after another."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def get(self, path: str) -> Any:
        """The JSON of a GET. Raises RuntimeError when it is no success."""
        return await self._ask("GET", path, b"")

    async def post(self, path: str, body: Any, *, header: str = "X-API-Key") -> Any:
        """The JSON that answers a POST. Raises RuntimeError when it is no success."""
        return await self._ask("POST", path, json.dumps(body).encode(), header)

    async def _ask(self, method: str, path: str, body: bytes, header: str = "X-API-Key") -> Any:
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: bench\r\n{header}: {self._key}\r\n{kind}\r\n".encode() + body
        )
        async with asyncio.timeout(WAIT):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status = head.split(b" ", 2)[1]
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            )
            reply = await self._reader.readexactly(length)
        if not status.startswith(b"2"):
            raise RuntimeError(f"{method} {path}: {status.decode()} {reply[:300]!r}")
        return json.loads(reply)
