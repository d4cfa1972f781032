"""Files that go with tasks, and artifacts that come back."""

import base64
import binascii
import sqlite3
from collections.abc import AsyncIterator, Sequence
from typing import Any, BinaryIO
from uuid import uuid4

from qb.contract.routes import Caller
from qb.contract.states import Reporter
from qb.contract.text import FILE_NAME_BYTES, check_file_name
from qb.domain.errors import ChecksumMismatch, Invalid, Malformed, NotFound, StaleAttempt
from qb.domain.times import after, iso
from qb.service.blobs import Blobs
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Registry
from qb.service.reports import attempt_of
from qb.store import claims, events, tasks
from qb.store import files as store
from qb.store.files import StoredFile

PREFIX = 8


def resolve(db: sqlite3.Connection, filenames: Sequence[str], *, identity: Identity) -> list[StoredFile]:
    """The uploads that a new task names. Raises Invalid for an unknown one, or two with one name of their own."""
    found: list[StoredFile] = []
    for filename in filenames:
        file = store.upload(db, filename)
        if file is None:
            raise Invalid(f"files: no upload {filename!r}; send it by POST /upload and use the filename it answers")
        if any(other.name == file.name for other in found):
            raise Invalid(f"files: two files are named {file.name!r}; rename one of them")
        found.append(file)
    return found


def checked_name(name: str) -> str:
    """The name, when a file can have it. Raises Invalid."""
    try:
        return check_file_name(name)
    except ValueError as error:
        raise Invalid(f"file name {name[:60]!r} {error}") from error


class Files:
    """Use cases about files."""

    def __init__(self, core: Core, registry: Registry, blobs: Blobs) -> None:
        self._core = core
        self._registry = registry
        self._blobs = blobs

    async def upload(self, identity: Identity, name: str, chunks: AsyncIterator[bytes]) -> dict[str, Any]:
        """Store a file for tasks to name; returns Upload."""
        original = checked_name(name)
        part, checksum, size = await self._blobs.receive(chunks)
        await self._blobs.keep(part, checksum)
        filename = _unique(original)
        file = StoredFile(original, checksum, size)
        now = iso(self._core.clock())
        await self._core.writer.run(lambda db: store.add_upload(db, filename, file, by=identity.name, now=now))
        return {"filename": filename, "original_name": original, "checksum": checksum, "size": size}

    async def download(self, node_id: str, name: str) -> tuple[StoredFile, BinaryIO]:
        """The file of that name of the task that the node holds; asking renews its leases. Raises NotFound."""
        member = self._registry.members.get(node_id)
        now = self._core.clock()

        def work(db: sqlite3.Connection) -> StoredFile | None:
            if member is not None:
                claims.renew_all(db, node_id, lease=after(now, member.lease))
            return store.live_file(db, node_id, name)

        file = await self._core.writer.run(work)
        if file is None:
            raise NotFound(f"no file {name[:255]!r} belongs to a task that this node holds")
        return file, self._blobs.read(file.checksum)

    async def put_artifact(
        self,
        identity: Identity,
        task_id: str,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        length: int | None,
        digest: str | None,
        attempt: int | None,
    ) -> dict[str, Any]:
        """Keep what a task left; returns Artifact.

        Raises Malformed when fewer bytes came than `length` says, ChecksumMismatch against `digest`
        (``sha-256=BASE64``), StaleAttempt for an older attempt; nothing is stored then.
        """
        checked_name(name)
        expected = _sha256(digest)
        said = await self._core.readers.run(lambda db: _attempt(db, identity, task_id, attempt))
        part, checksum, size = await self._blobs.receive(chunks)
        if length is not None and size != length:
            self._blobs.drop(part)
            raise Malformed(f"{size} of {length} bytes came: send the artifact again")
        if expected is not None and expected != checksum:
            self._blobs.drop(part)
            raise ChecksumMismatch(f"the bytes of {name!r} have another SHA-256 than its Digest says: send it again")
        await self._blobs.keep(part, checksum)
        file = StoredFile(name, checksum, size)
        now = iso(self._core.clock())
        await self._core.writer.run(lambda db: _put(db, identity, task_id, said, file, now))
        self._core.hub.publish(task_id)
        return {"name": name, "size": size, "checksum": checksum, "created_at": now, "attempt": said}

    async def artifacts(self, task_id: str) -> list[dict[str, Any]]:
        """The task's artifacts. Raises NotFound."""

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            if tasks.get(db, task_id) is None:
                raise NotFound(f"no task {task_id}")
            return store.artifacts(db, task_id)

        return await self._core.readers.run(read)

    async def artifact(self, task_id: str, name: str) -> tuple[StoredFile, BinaryIO]:
        """One artifact, opened; the caller closes it. Raises NotFound."""
        file = await self._core.readers.run(lambda db: store.artifact(db, task_id, name))
        if file is None:
            raise NotFound(f"task {task_id} left no artifact {name[:255]!r}")
        return file, self._blobs.read(file.checksum)


def _attempt(db: sqlite3.Connection, identity: Identity, task_id: str, said: int | None) -> int:
    attempt = attempt_of(db, identity, task_id, said)
    row = tasks.get(db, task_id)
    if row is None:
        raise NotFound(f"no task {task_id}")
    if attempt != row["attempt"]:
        raise StaleAttempt(f"attempt {attempt} of task {task_id} is over: its files are not wanted any more")
    return attempt


def _put(db: sqlite3.Connection, identity: Identity, task_id: str, attempt: int, file: StoredFile, now: str) -> None:
    store.put_artifact(db, task_id, attempt, file, now=now)
    events.add(
        db,
        task_id=task_id,
        attempt=attempt,
        at=now,
        kind="artifact",
        source=Reporter.AGENT if identity.caller is Caller.AGENT else Reporter.RUNNER,
        node_id=identity.node_id,
        message=file.name,
        detail={"size": file.size, "checksum": file.checksum},
    )


def _sha256(digest: str | None) -> str | None:
    for part in (digest or "").split(","):
        algorithm, _, value = part.strip().partition("=")
        if algorithm.lower() == "sha-256":
            try:
                return base64.b64decode(value, validate=True).hex()
            except (binascii.Error, ValueError) as error:
                raise Malformed("Digest: sha-256 is no base64 text") from error
    return None


def _unique(name: str) -> str:
    """A name by which tasks can ask for just this upload; it ends like the file's own."""
    room = FILE_NAME_BYTES - PREFIX - 1
    tail = name.encode()[-room:].decode(errors="ignore")
    return f"{uuid4().hex[:PREFIX]}-{tail}"
