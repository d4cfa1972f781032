"""Files that go with tasks: uploaded by operators, fetched by the node that holds the task."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from qb.contract.text import FILE_NAME_BYTES, check_file_name
from qb.domain.errors import Invalid, NotFound, TooLarge
from qb.domain.quotas import human
from qb.domain.times import after, iso
from qb.service.blobs import Blobs, Part
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Registry
from qb.service.sending import Sending
from qb.store import claims
from qb.store import files as store
from qb.store.files import StoredFile

PREFIX = 8
RENEW_SECONDS = 20.0
"""How often a download in progress renews the leases of its node."""


def resolve(db: sqlite3.Connection, filenames: Sequence[str], *, identity: Identity, most: int) -> list[StoredFile]:
    """The uploads that a new task names.

    Raises Invalid for an unknown one, or two with one name of their own, TooLarge for more than `most` bytes.
    """
    found: dict[str, StoredFile] = {}
    for filename in filenames:
        file = store.upload(db, filename, owner=identity.owner)
        if file is None:
            raise Invalid(f"files: no upload {filename!r}; send it by POST /upload and use the filename it answers")
        if file.name in found:
            raise Invalid(f"files: two files are named {file.name!r}; rename one of them")
        found[file.name] = file
    size = sum(file.size for file in found.values())
    if size > most:
        raise TooLarge(
            f"files: {human(size)} together, over the {human(most)} of one task: attach fewer, "
            "or serve with a larger --task-limit"
        )
    return list(found.values())


def checked_name(name: str) -> str:
    """The name, when a file can have it. Raises Invalid."""
    try:
        return check_file_name(name)
    except ValueError as error:
        raise Invalid(f"file name {name[:60]!r} {_reason(error)}") from error


@dataclass(frozen=True, slots=True)
class Received:
    """An upload whose bytes are here, and which nobody knows yet."""

    name: str
    part: Part


class Files:
    """Use cases about files."""

    def __init__(self, core: Core, registry: Registry, blobs: Blobs) -> None:
        self._core = core
        self._registry = registry
        self._blobs = blobs

    def check_size(self, size: int | None) -> None:
        """Refuse an announced size before a byte is taken. Raises TooLarge, StorageFull."""
        self._blobs.room.check(size)

    @asynccontextmanager
    async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[Received]:
        """Take the bytes in, for `keep` once the whole request has proved sound; else they go again."""
        original = checked_name(name)
        async with self._blobs.receive(chunks) as part:
            yield Received(original, part)

    async def keep(self, identity: Identity, received: Received) -> dict[str, Any]:
        """Make the file one that tasks can name; returns Upload."""
        part = received.part
        file = StoredFile(received.name, part.checksum, part.size)
        now = iso(self._core.clock())

        def work(db: sqlite3.Connection) -> str:
            filename = _unique(db, file.name)
            store.add_upload(db, filename, file, by=identity.name, key_id=identity.key_id, now=now)
            return filename

        async with self._blobs.kept(part):
            filename = await self._core.writer.run(work)
        return {"filename": filename, "original_name": file.name, "checksum": file.checksum, "size": file.size}

    async def download(self, node_id: str, name: str, *, task_id: str | None = None) -> tuple[StoredFile, Sending]:
        """The file of that name of a task (of `task_id`, where given) that the node holds.

        Asking for it, and receiving it, renews the node's leases. Raises NotFound.
        """
        await self._renew(node_id)
        file = await self._core.readers.run(lambda db: store.live_file(db, node_id, name, task_id))
        if file is None:
            raise NotFound(f"no file {name[:255]!r} belongs to a task that this node holds")
        last = self._core.clock()

        async def tick() -> None:
            nonlocal last
            now = self._core.clock()
            if (now - last).total_seconds() >= RENEW_SECONDS:
                last = now
                await self._renew(node_id)

        return file, Sending(self._blobs.read(file.checksum), tick)

    async def _renew(self, node_id: str) -> None:
        member = self._registry.members.get(node_id)
        if member is not None:
            now = self._core.clock()
            member.seen(now)
            lease = after(now, member.lease)
            await self._core.writer.run(lambda db: claims.renew_all(db, node_id, lease=lease))


def _reason(error: ValueError) -> str:
    return "is not valid Unicode" if isinstance(error, UnicodeError) else str(error)


def _unique(db: sqlite3.Connection, name: str) -> str:
    """A name by which tasks can ask for just this upload; it ends like the file's own."""
    room = FILE_NAME_BYTES - PREFIX - 1
    tail = name.encode()[-room:].decode(errors="ignore")
    while True:
        filename = f"{uuid4().hex[:PREFIX]}-{tail}"
        if store.upload(db, filename) is None:
            return filename
