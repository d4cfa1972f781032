"""Artifacts: the files that a task leaves behind, kept with it."""

import base64
import binascii
import sqlite3
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from qb.contract.routes import Caller
from qb.contract.states import Reporter
from qb.domain.errors import ChecksumMismatch, Malformed, NotFound, StaleAttempt, TooLarge
from qb.domain.quotas import human
from qb.domain.times import after, iso
from qb.service.blobs import Blobs
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.files import checked_name
from qb.service.registry import Registry
from qb.service.sending import Sending
from qb.service.speakers import attempt_of
from qb.store import claims, events, tasks
from qb.store import files as store
from qb.store.files import StoredFile

SHA256_BYTES = 32


class Artifacts:
    """Use cases about artifacts."""

    def __init__(self, core: Core, registry: Registry, blobs: Blobs) -> None:
        self._core = core
        self._registry = registry
        self._blobs = blobs

    async def put(
        self,
        identity: Identity,
        task_id: str,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        digest: str | None,
        attempt: int | None,
        size: int | None = None,
    ) -> dict[str, Any]:
        """Keep what a task left, in place of one of the same name; returns Artifact. `size` is what was announced.

        Raises what `chunks` does, ChecksumMismatch against `digest` (``sha-256=BASE64``), NotFound for a foreign
        task, StaleAttempt for an older attempt, TooLarge and StorageFull past a quota; nothing is stored then.
        """
        checked_name(name)
        self._blobs.room.check(size)
        expected = sha256_of(digest)
        # Asked before the bytes come, so that nobody sends in vain, and again when they are here.
        said = await self._core.writer.run(lambda db: self._current(db, identity, task_id, attempt, (name, size or 0)))
        async with self._blobs.receive(chunks) as part:
            if expected is not None and expected != part.checksum:
                raise ChecksumMismatch(
                    f"the bytes of {name!r} have another SHA-256 than the Digest header says: send it again"
                )
            file = StoredFile(name, part.checksum, part.size)
            now = iso(self._core.clock())
            async with self._blobs.kept(part):
                await self._core.writer.run(lambda db: self._put(db, identity, task_id, said, file, now))
        self._core.hub.publish(task_id)
        return {"name": name, "size": file.size, "checksum": file.checksum, "created_at": now, "attempt": said}

    def _put(
        self, db: sqlite3.Connection, identity: Identity, task_id: str, attempt: int, file: StoredFile, now: str
    ) -> None:
        self._current(db, identity, task_id, attempt, (file.name, file.size))
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

    def _current(
        self, db: sqlite3.Connection, identity: Identity, task_id: str, said: int | None, coming: tuple[str, int]
    ) -> int:
        """The attempt that the caller speaks for, which must be the task's last; renews its lease.

        `coming`, a name and a size, must fit beside the task's other artifacts.
        """
        attempt = attempt_of(db, identity, task_id, said, now=self._core.clock())
        row = tasks.get(db, task_id)
        if row is None:
            raise NotFound(f"no task {task_id}")
        if attempt != row["attempt"]:
            raise StaleAttempt(f"attempt {attempt} of task {task_id} is over: its files are not wanted any more")
        most = self._core.settings.quotas.task
        if store.artifacts_size(db, task_id, but=coming[0]) + coming[1] > most:
            raise TooLarge(
                f"artifact {coming[0][:60]!r} would make the task's artifacts more than {human(most)}: leave less, "
                "or serve with a larger --task-limit"
            )
        renew(db, self._registry, identity, task_id, attempt, self._core.clock())
        return attempt

    async def page(self, task_id: str, *, after: str, limit: int) -> list[dict[str, Any]]:
        """The task's artifacts by name, those after the name `after`. Raises NotFound."""

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            if tasks.get(db, task_id) is None:
                raise NotFound(f"no task {task_id}")
            return store.artifacts(db, task_id, after=after, limit=limit)

        return await self._core.readers.run(read)

    async def one(self, task_id: str, name: str) -> tuple[StoredFile, Sending]:
        """One artifact on its way out. Raises NotFound."""
        file = await self._core.readers.run(lambda db: store.artifact(db, task_id, name))
        if file is None:
            raise NotFound(f"task {task_id} left no artifact {name[:255]!r}")
        return file, Sending(self._blobs.read(file.checksum))


def renew(
    db: sqlite3.Connection, registry: Registry, identity: Identity, task_id: str, attempt: int, now: datetime
) -> None:
    """Prolong the attempt's lease when it is its node that asks."""
    member = registry.members.get(identity.node_id or "")
    if member is not None:
        claims.renew(db, task_id, attempt, lease=after(now, member.lease))


def sha256_of(digest: str | None) -> str | None:
    """The SHA-256, in lower-case hex, that a Digest header tells, if any. Raises Malformed."""
    for part in (digest or "").split(","):
        algorithm, _, value = part.strip().partition("=")
        if algorithm.lower() == "sha-256":
            try:
                raw = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError) as error:
                raise Malformed("Digest: sha-256 is not base64") from error
            if len(raw) != SHA256_BYTES:
                raise Malformed(f"Digest: sha-256 holds {len(raw)} bytes instead of {SHA256_BYTES}")
            return raw.hex()
    return None
