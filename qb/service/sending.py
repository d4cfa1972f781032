"""A blob on its way out, whole or in part."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import BinaryIO

CHUNK = 256 << 10


class Sending:
    """falcon iterates it and closes it. `tick` is awaited before each chunk."""

    def __init__(self, blob: BinaryIO, tick: Callable[[], Awaitable[None]] | None = None) -> None:
        self._blob = blob
        self._tick = tick
        self._left: int | None = None

    def cut(self, first: int, length: int) -> None:
        """Send only `length` bytes from the one numbered `first` on."""
        self._blob.seek(first)
        self._left = length

    def __aiter__(self) -> "Sending":
        return self

    async def __anext__(self) -> bytes:
        if self._tick is not None:
            await self._tick()
        wanted = CHUNK if self._left is None else min(CHUNK, self._left)
        # In a thread even when the page cache has it: where the client has gone, nothing else here ever waits.
        chunk = await asyncio.to_thread(self._blob.read, wanted)
        if not chunk:
            raise StopAsyncIteration
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    async def close(self) -> None:
        """Let go of the file."""
        self._blob.close()
