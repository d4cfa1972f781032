"""File contents on disk, named by their SHA-256: written beside, synced, then renamed into place."""

import asyncio
import errno
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from qb.domain.errors import NotFound, QuarterbackError, StorageFull
from qb.domain.quotas import Quotas
from qb.service.room import Arrival, Room
from qb.service.sending import CHUNK

PART = "part-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Part:
    """A file received whole and synced, not yet kept. `checksum` is SHA-256 in lower-case hex, `size` in bytes."""

    path: Path
    checksum: str
    size: int


class Blobs:
    """The folder of blobs. Bytes are streamed: no file is ever whole in memory.

    Everything but the writing itself happens on the event loop's thread, so that a blob that is just being kept and
    one that is just being removed are never the same.
    """

    def __init__(self, folder: Path, quotas: Quotas) -> None:
        self._folder = folder
        self.room = Room(quotas)
        self._pinned: Counter[str] = Counter()
        self._kept_lately: set[str] = set()
        self._new: set[str] = set()
        """What was kept first by a request that still goes on, and by no other."""
        self._removing = asyncio.Lock()

    def open(self) -> None:
        """Make the folder, remove what a crash left half written, and count what is there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in self._folder.glob(f"{PART}*"):
            part.unlink()
        self.room.used = sum(size for _, size in self._walk())

    @asynccontextmanager
    async def receive(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Part]:
        """Write the chunks to a part, for `kept`; a part that is not kept is removed in the end.

        Until then what was kept is safe from `remove`. Raises TooLarge past a file's limit, StorageFull past that of
        all files or when the disk is full, and what `chunks` raises.
        """
        with _room():
            handle, name = await asyncio.to_thread(tempfile.mkstemp, prefix=PART, dir=self._folder)
        path, arrival, checksum = Path(name), self.room.arrives(), ""
        try:
            with _room(), os.fdopen(handle, "wb", buffering=0) as target:
                checksum = await self._fill(target, chunks, arrival)
            self._pinned[checksum] += 1
            yield Part(path, checksum, arrival.size)
        finally:
            arrival.leave()
            if checksum:
                self._unpin(checksum)
            _drop(path)

    async def _fill(self, target: BinaryIO, chunks: AsyncIterator[bytes], arrival: Arrival) -> str:
        digest, held = hashlib.sha256(), bytearray()

        def write() -> None:
            digest.update(held)
            rest = memoryview(held)
            while rest:
                rest = rest[target.write(rest) :]

        async for chunk in chunks:
            arrival.add(len(chunk))
            held += chunk
            if len(held) >= CHUNK:
                await asyncio.to_thread(write)
                held = bytearray()
        await asyncio.to_thread(write)
        await asyncio.to_thread(os.fsync, target.fileno())
        return digest.hexdigest()

    @asynccontextmanager
    async def kept(self, part: Part) -> AsyncIterator[None]:
        """Give a part its name, durably; bytes that are there already are simply there again.

        Commit what refers to it inside: when that is refused with one of our own errors, nothing does, and what is new
        goes again. Of any other error, a vanished caller's among them, nobody knows whether the commit came to pass.
        """
        await self._keep(part)
        try:
            yield
        except QuarterbackError:
            async with self._removing:
                # bytes that another request is just sending, too, stay: it may have found them here
                if part.checksum in self._new and self._pinned[part.checksum] == 1:
                    freed = await asyncio.to_thread(self._remove, part.checksum)
                    self.room.used -= freed or 0
            raise
        finally:
            self._new.discard(part.checksum)

    async def _keep(self, part: Part) -> None:
        async with self._removing:  # one of this very name may be about to go: wait, then it is safe
            self._kept_lately.add(part.checksum)
        with _room():
            if await asyncio.to_thread(self._place_part, part):
                self._new.add(part.checksum)
                self.room.used += part.size

    def read(self, checksum: str) -> BinaryIO:
        """The blob, opened; the caller closes it. Raises NotFound when it is not there."""
        try:
            return self._place(checksum).open("rb")
        except FileNotFoundError as error:
            raise NotFound("the file's contents are gone: the data directory has lost a blob") from error

    async def names(self) -> list[str]:
        """The checksums of all blobs that are kept; what is kept from now on is safe from `remove`."""
        # What is pinned now may be let go before `remove`, but after somebody asked who refers to it.
        self._kept_lately = set(self._pinned)
        return await asyncio.to_thread(lambda: [name for name, _ in self._walk()])

    async def remove(self, checksums: Iterable[str]) -> tuple[int, int]:
        """Remove blobs that nothing refers to, as found out since `names`; returns how many, and their bytes.

        One that was kept again since then, or is just being kept, stays.
        """
        count = size = 0
        for checksum in checksums:
            async with self._removing:
                if checksum in self._pinned or checksum in self._kept_lately:
                    continue
                freed = await asyncio.to_thread(self._remove, checksum)
            self.room.used -= freed or 0
            count, size = count + (freed is not None), size + (freed or 0)
        return count, size

    def _walk(self) -> Iterator[tuple[str, int]]:
        for folder in self._folder.iterdir():
            if folder.is_dir():
                with os.scandir(folder) as found:
                    yield from ((entry.name, entry.stat().st_size) for entry in found)

    def _unpin(self, checksum: str) -> None:
        self._pinned[checksum] -= 1
        if self._pinned[checksum] <= 0:
            del self._pinned[checksum]

    def _place(self, checksum: str) -> Path:
        return self._folder / checksum[:2] / checksum

    def _place_part(self, part: Part) -> bool:
        place = self._place(part.checksum)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        new = True
        try:
            place.hardlink_to(part.path)
        except FileExistsError:
            new = False
            part.path.replace(place)
        for folder in (place.parent, self._folder):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        return new

    def _remove(self, checksum: str) -> int | None:
        place = self._place(checksum)
        try:
            size = place.stat().st_size
            place.unlink()
        except FileNotFoundError:
            return None
        return size


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the disk is full: nothing was stored; free space and send the file again") from error
        raise
