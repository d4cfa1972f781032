"""Takes in what containers print, up to a quota for each task."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime

from qb.contract.states import Stream
from qb.contract.tasks import OutputBatch, OutputChunk
from qb.domain.errors import NotFound, StaleAttempt
from qb.domain.quotas import human
from qb.service.artifacts import renew
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.service.registry import Registry
from qb.service.speakers import attempt_of
from qb.store import output, tasks
from qb.store.output import Line


class Output:
    """Use cases about output."""

    def __init__(self, core: Core, registry: Registry) -> None:
        self._core = core
        self._registry = registry

    async def take(self, identity: Identity, task_id: str, body: OutputBatch) -> dict[str, int]:
        """Store the chunks that follow what is there; returns OutputAccepted.

        A chunk that is there already changes nothing, and one after a gap is not taken: `accepted_to` says where to
        go on. What is past the task's quota is accepted and dropped, and a line of the stream `system` says so where
        that begins. Raises NotFound for a foreign task and StaleAttempt for an older attempt.
        """
        now = self._core.clock()
        accepted, size = await self._core.writer.run(
            lambda db: self._take(db, identity, task_id, body, now), rows=len(body.chunks)
        )
        self._core.metrics.output_bytes += size
        self._core.hub.publish(task_id)
        return {"accepted_to": accepted}

    def _take(
        self, db: sqlite3.Connection, identity: Identity, task_id: str, body: OutputBatch, now: datetime
    ) -> tuple[int, int]:
        """The last `seq` that is accepted, and the bytes that came with this batch and were not there yet."""
        attempt = attempt_of(db, identity, task_id, body.attempt, now=now)
        row = tasks.get(db, task_id)
        if row is None:
            raise NotFound(f"no task {task_id}")
        if attempt != row["attempt"]:
            raise StaleAttempt(f"attempt {attempt} of task {task_id} is over: its output is not wanted any more")
        renew(db, self._registry, identity, task_id, attempt, now)
        log = output.log(db, task_id, attempt)
        fresh = _following(body.chunks, log.last_seq)
        if not fresh:
            return log.last_seq, 0
        quota = self._core.settings.quotas.output
        room = 0 if log.dropped else quota - output.size(db, task_id)
        kept = _fitting(fresh, room)
        dropped = sum(line.size for line in fresh[len(kept) :])
        if dropped and not log.dropped:
            kept.append(_marker(fresh[len(kept)], quota))
        output.add(db, log, kept, last_seq=fresh[-1].seq, dropped=dropped)
        return fresh[-1].seq, sum(line.size for line in fresh)


def _following(chunks: Iterable[OutputChunk], have: int) -> list[Line]:
    """The chunks that follow `have` without a gap."""
    fresh: list[Line] = []
    for chunk in sorted(chunks, key=_seq):
        if chunk.seq == have + 1:
            have = chunk.seq
            text = chunk.text
            size = len(text) if text.isascii() else len(text.encode())
            fresh.append(Line(have, chunk.stream.value, chunk.at, text, size))
    return fresh


def _fitting(lines: list[Line], room: int) -> list[Line]:
    """The first lines, as many as there is room for."""
    for count, line in enumerate(lines):
        room -= line.size
        # The last number belongs to the line that would say that output is cut.
        if room < 0 or line.seq >= output.MOST_SEQ:
            return lines[:count]
    return list(lines)


def _marker(first: Line, quota: int) -> Line:
    """Stands in the place of the first line that is dropped; counts no bytes."""
    text = f"[output is cut here: {human(quota)} of a task's output are kept, what comes after is dropped]\n"
    return Line(first.seq, Stream.SYSTEM.value, first.at, text, 0)


def _seq(chunk: OutputChunk) -> int:
    return chunk.seq
