"""Takes in what containers print, and gives it out."""

import sqlite3
from datetime import datetime

from qb.contract.tasks import OutputBatch, OutputChunk
from qb.domain.errors import NotFound, StaleAttempt
from qb.service.artifacts import renew
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Registry
from qb.service.reports import attempt_of
from qb.store import output, tasks


class Output:
    """Use cases about output."""

    def __init__(self, core: Core, registry: Registry) -> None:
        self._core = core
        self._registry = registry

    async def take(self, identity: Identity, task_id: str, body: OutputBatch) -> dict[str, int]:
        """Store the chunks that follow what is there; returns OutputAccepted.

        A chunk that is there already changes nothing, and one after a gap is not taken: `accepted_to` says where to
        go on. Raises NotFound for a foreign task and StaleAttempt for an older attempt.
        """
        now = self._core.clock()
        accepted = await self._core.writer.run(lambda db: self._take(db, identity, task_id, body, now))
        self._core.metrics.output_bytes += sum(len(chunk.text.encode()) for chunk in body.chunks)
        self._core.hub.publish(task_id)
        return {"accepted_to": accepted}

    def _take(self, db: sqlite3.Connection, identity: Identity, task_id: str, body: OutputBatch, now: datetime) -> int:
        attempt = attempt_of(db, identity, task_id, body.attempt, now=now)
        row = tasks.get(db, task_id)
        if row is None:
            raise NotFound(f"no task {task_id}")
        if attempt != row["attempt"]:
            raise StaleAttempt(f"attempt {attempt} of task {task_id} is over: its output is not wanted any more")
        renew(db, self._registry, identity, task_id, attempt, now)
        have = output.last_seq(db, task_id, attempt)
        fresh = []
        for chunk in sorted(body.chunks, key=_seq):
            if chunk.seq == have + 1:
                have += 1
                fresh.append((have, chunk.stream.value, chunk.at, chunk.text))
        output.add(db, task_id, attempt, fresh)
        return have


def _seq(chunk: OutputChunk) -> int:
    return chunk.seq
