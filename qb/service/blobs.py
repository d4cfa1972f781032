"""File contents on disk, named by their SHA-256: written beside, synced, then renamed into place."""

import asyncio
import errno
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from qb.domain.errors import NotFound, StorageFull, TooLarge

FILE_LIMIT = 1 << 30
PART = "part-"


class Blobs:
    """The folder of blobs. Bytes are streamed: no file is ever whole in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder, and remove what a crash left half written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in self._folder.glob(f"{PART}*"):
            part.unlink()

    async def receive(self, chunks: AsyncIterator[bytes], *, limit: int = FILE_LIMIT) -> tuple[Path, str, int]:
        """Write the chunks to a part of their own; returns it with its SHA-256 and size, for `keep` or `drop`.

        Raises TooLarge past `limit` bytes and StorageFull when the disk is full; the part is gone then.
        """
        handle, name = await asyncio.to_thread(tempfile.mkstemp, prefix=PART, dir=self._folder)
        part, digest, size = Path(name), hashlib.sha256(), 0
        try:
            with os.fdopen(handle, "wb") as target:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise TooLarge(
                            f"the file is over {limit >> 20} MiB: split it, or put it where the agent can get it"
                        )
                    digest.update(chunk)
                    await asyncio.to_thread(target.write, chunk)
                await asyncio.to_thread(_sync, target)
        except BaseException as error:
            self.drop(part)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull("the disk is full: nothing was stored; free space and send the file again") from error
            raise
        return part, digest.hexdigest(), size

    async def keep(self, part: Path, checksum: str) -> None:
        """Give a part its name, durably."""
        await asyncio.to_thread(self._keep, part, checksum)

    def drop(self, part: Path) -> None:
        """Remove a part that is not wanted."""
        with suppress(FileNotFoundError):
            part.unlink()

    def read(self, checksum: str) -> BinaryIO:
        """The blob, opened; the caller closes it. Raises NotFound when it is not there."""
        try:
            return (self._folder / checksum[:2] / checksum).open("rb")
        except FileNotFoundError as error:
            raise NotFound("the file's contents are gone: the data directory has lost a blob") from error

    def _keep(self, part: Path, checksum: str) -> None:
        folder = self._folder / checksum[:2]
        folder.mkdir(mode=0o700, exist_ok=True)
        part.replace(folder / checksum)
        for changed in (folder, self._folder):
            handle = os.open(changed, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _sync(target: BinaryIO) -> None:
    target.flush()
    os.fsync(target.fileno())
