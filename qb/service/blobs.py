"""File contents on disk, named by their SHA-256: written beside, synced, then renamed into place."""

import asyncio
import errno
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from qb.domain.errors import NotFound, StorageFull, TooLarge

FILE_LIMIT = 1 << 30
"""Bytes of the largest file that is taken."""

PART = "part-"
CHUNK = 256 << 10
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Part:
    """A file received whole and synced, not yet kept. `checksum` is SHA-256 in lower-case hex, `size` in bytes."""

    path: Path
    checksum: str
    size: int


class Sending:
    """One blob on its way out; falcon iterates it and closes it. `tick` is awaited before each chunk."""

    def __init__(self, blob: BinaryIO, tick: Callable[[], Awaitable[None]] | None = None) -> None:
        self._blob = blob
        self._tick = tick

    def __aiter__(self) -> "Sending":
        return self

    async def __anext__(self) -> bytes:
        if self._tick is not None:
            await self._tick()
        # In a thread even when the page cache has it: where the client has gone, nothing else here ever waits.
        chunk = await asyncio.to_thread(self._blob.read, CHUNK)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def close(self) -> None:
        """Let go of the file."""
        self._blob.close()


class Blobs:
    """The folder of blobs. Bytes are streamed: no file is ever whole in memory."""

    def __init__(self, folder: Path, *, limit: int = FILE_LIMIT) -> None:
        self._folder = folder
        self._limit = limit

    def open(self) -> None:
        """Make the folder, and remove what a crash left half written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in self._folder.glob(f"{PART}*"):
            part.unlink()

    def check_size(self, size: int | None) -> None:
        """Refuse an announced size before a byte is taken. Raises TooLarge."""
        if size is not None and size > self._limit:
            raise TooLarge(f"the file is over {_human(self._limit)}: split it, or put it where the agent can get it")

    @asynccontextmanager
    async def receive(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Part]:
        """Write the chunks to a part, for `keep`; a part that is not kept is removed in the end.

        Raises TooLarge past the limit, StorageFull when the disk is full, and what `chunks` raises.
        """
        with _room():
            handle, name = await asyncio.to_thread(tempfile.mkstemp, prefix=PART, dir=self._folder)
        path = Path(name)
        try:
            with _room(), os.fdopen(handle, "wb", buffering=0) as target:
                checksum, size = await self._fill(target, chunks)
            yield Part(path, checksum, size)
        finally:
            _drop(path)

    async def _fill(self, target: BinaryIO, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        digest, size, held = hashlib.sha256(), 0, bytearray()

        def write() -> None:
            digest.update(held)
            rest = memoryview(held)
            while rest:
                rest = rest[target.write(rest) :]

        async for chunk in chunks:
            size += len(chunk)
            self.check_size(size)
            held += chunk
            if len(held) >= CHUNK:
                await asyncio.to_thread(write)
                held = bytearray()
        await asyncio.to_thread(write)
        await asyncio.to_thread(os.fsync, target.fileno())
        return digest.hexdigest(), size

    async def keep(self, part: Part) -> None:
        """Give a part its name, durably; bytes that are there already are simply there again."""
        with _room():
            await asyncio.to_thread(self._keep, part)

    def read(self, checksum: str) -> BinaryIO:
        """The blob, opened; the caller closes it. Raises NotFound when it is not there."""
        try:
            return self._place(checksum).open("rb")
        except FileNotFoundError as error:
            raise NotFound("the file's contents are gone: the data directory has lost a blob") from error

    def _place(self, checksum: str) -> Path:
        return self._folder / checksum[:2] / checksum

    def _keep(self, part: Part) -> None:
        place = self._place(part.checksum)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        part.path.replace(place)
        for folder in (place.parent, self._folder):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)


def _human(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size} bytes"


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the disk is full: nothing was stored; free space and send the file again") from error
        raise
