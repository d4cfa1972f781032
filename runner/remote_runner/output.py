"""Takes a container's output from its log into the outbox, within the room that the outbox has."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from qb.contract.states import Stream
from remote_runner.journal import Journal
from remote_runner.logfile import ContainerLog
from remote_runner.records import Entry, Piece

DROPPED = "[{size} bytes of output are missing here: the orchestrator could not be reached and the spool is full]\n"
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

    def pump(self) -> bool:
        """Move what came since; says whether there was anything."""
        if self._journal.spooled > self._limit:
            skipped = self._log.skip()
            self._dropped += skipped
            return bool(skipped)
        self._mark()
        pieces = self._log.read()
        if self._log.gap:
            self._log.gap = False
            pieces.insert(0, _note(CUT))
        if pieces:
            self._spool(pieces)
        return bool(pieces)

    def drain(self) -> None:
        """Move the rest, once the container has ended."""
        while self.pump():
            pass
        self._mark()

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _mark(self) -> None:
        """Say where output was left out, and how much: the mark itself always finds room."""
        if self._dropped:
            self._spool([_note(DROPPED.format(size=self._dropped))])
            self._dropped = 0

    def _spool(self, pieces: list[Piece]) -> None:
        self._journal.spool(self._key, pieces, self._log.position)
        self._outbox_filled()


def _note(text: str) -> Piece:
    return Piece(Stream.STDERR, datetime.now(UTC).isoformat(), text)
