"""Takes a container's output from its log into the outbox, within the room that the outbox has."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from qb.contract.states import Stream
from remote_runner.journal import Journal
from remote_runner.journal_file import NoRoom
from remote_runner.logfile import ContainerLog
from remote_runner.records import Entry, Piece

DROPPED = "[{size} bytes of output are missing here: {why}]\n"
SPOOL_FULL = "the orchestrator could not be reached and the spool is full"
DISK_FULL = "the node's disk was full"
CUT = "[output is missing here: the log was cut while the runner was away]\n"


class OutputPump:
    """Moves the output of one attempt. `limit` bounds the bytes that wait in the outbox, of all attempts."""

    def __init__(
        self, entry: Entry, log: Path, journal: Journal, limit: int, outbox_filled: Callable[[], None]
    ) -> None:
        self._key = entry.key
        self._journal = journal
        self._limit = limit
        self._outbox_filled = outbox_filled
        self._log = ContainerLog(log, entry.position)
        self._dropped = 0
        self._why = ""

    def pump(self) -> bool:
        """Move what came since; says whether there was anything."""
        if self._journal.spooled > self._limit:
            return self._pass_over(SPOOL_FULL)
        try:
            self._mark(lambda piece: self._spool([piece]))
        except NoRoom:
            return self._pass_over(DISK_FULL)
        pieces = self._log.read()
        try:
            self._spool([_note(CUT), *pieces] if self._log.gap else pieces)
            self._log.gap = False
        except NoRoom:
            self._drop(sum(len(piece.text.encode()) for piece in pieces), DISK_FULL)
        return bool(pieces)

    def drain(self) -> None:
        """Move the rest, once the container has ended."""
        while self.pump():
            pass
        with contextlib.suppress(NoRoom):
            self._mark(lambda piece: self._journal.mark(self._key, piece, self._log.position))

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _pass_over(self, why: str) -> bool:
        skipped = self._log.skip()
        self._drop(skipped, why)
        return bool(skipped)

    def _drop(self, size: int, why: str) -> None:
        self._dropped += size
        self._why = self._why or why

    def _mark(self, spool: Callable[[Piece], None]) -> None:
        """Say where output was left out, how much, and why."""
        if self._dropped:
            spool(_note(DROPPED.format(size=self._dropped, why=self._why)))
            self._dropped, self._why = 0, ""

    def _spool(self, pieces: list[Piece]) -> None:
        if pieces:
            self._journal.spool(self._key, pieces, self._log.position)
            self._outbox_filled()


def _note(text: str) -> Piece:
    return Piece(Stream.STDERR, datetime.now(UTC).isoformat(), text)
