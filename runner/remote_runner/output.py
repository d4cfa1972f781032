"""Takes a container's output from its log into the outbox, within the room that the outbox has."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from qb.contract.states import Stream
from remote_runner.journal import Journal
from remote_runner.logfile import ContainerLog
from remote_runner.records import Entry, Piece

DROPPED = "[output is missing here: the orchestrator could not be reached and the spool is full]\n"


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
        self._dropping = False

    def pump(self) -> bool:
        """Move what came since; says whether there was anything."""
        if self._journal.spooled > self._limit:
            return self._drop()
        self._dropping = False
        pieces = self._log.read()
        if pieces:
            self._spool(pieces)
        return bool(pieces)

    def drain(self) -> None:
        """Move the rest, once the container has ended."""
        while self.pump():
            pass

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _drop(self) -> bool:
        came = self._log.skip()
        if came and not self._dropping:
            self._dropping = True
            self._spool([Piece(Stream.STDERR, datetime.now(UTC).isoformat(), DROPPED)])
        return came

    def _spool(self, pieces: list[Piece]) -> None:
        self._journal.spool(self._key, pieces, self._log.position)
        self._outbox_filled()
