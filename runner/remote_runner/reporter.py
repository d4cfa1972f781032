"""Sends what lies in the outbox, in order for each attempt: output, the agent's log, artifacts, the verdict."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from typing import BinaryIO

import structlog

from qb.client import ClientError, QbClient, Refused
from qb.contract.logs import SessionUpload
from qb.contract.states import Stream
from qb.contract.tasks import OutputBatch, OutputChunk, StatusReport
from remote_runner.backoff import Backoff
from remote_runner.journal import Journal
from remote_runner.journal_file import NoRoom
from remote_runner.membership import Membership
from remote_runner.records import Key, Kind, Letter
from remote_runner.workspaces import Workspaces

BATCH_CHARS = 512 << 10
LONGEST_WAIT = 15.0
CHUNK = 256 << 10
PATIENCE_WITH_500 = 8
"""Tries of what is no verdict that the orchestrator answers with 500 before it is given up."""
FAILED = "[{size} bytes of output are missing here: the orchestrator failed to take them]\n"

log = structlog.get_logger()


class Reporter:
    """Empties the outbox for as long as it runs; `on_settled` hears of each attempt whose verdict is taken."""

    def __init__(
        self,
        client: QbClient,
        journal: Journal,
        membership: Membership,
        workspaces: Workspaces,
        longest_wait: float = LONGEST_WAIT,
        *,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._client = client
        self._journal = journal
        self._membership = membership
        self._workspaces = workspaces
        self._backoff = Backoff(min(LONGEST_WAIT, longest_wait))
        self._wait = wait
        self._filled = threading.Event()
        self._told = ""
        self._failures: dict[int, int] = {}

    def wake(self) -> None:
        """There is something to send."""
        self._filled.set()

    def run(self, stop: threading.Event, on_settled: Callable[[Key], None]) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            self._filled.clear()
            sent = failed = False
            for key in self._journal.senders():
                try:
                    sent |= self._send_first(key, on_settled)
                except (ClientError, NoRoom) as error:
                    failed = True
                    self._tell(error)
            if sent:
                self._backoff.reset()
                self._told = ""
            if failed:
                self._wait(stop, self._backoff.next())
            elif not sent:
                self._filled.wait(1.0)

    def _send_first(self, key: Key, on_settled: Callable[[Key], None]) -> bool:
        letters = self._journal.letters(key)
        if not letters:
            return False
        first = letters[0]
        if first.kind is Kind.OUTPUT:
            letters = _batch(letters)
        used = self._membership.key
        try:
            self._send(key, letters)
        except Refused as error:
            if error.status == 401:
                self._membership.renew(used)
                raise
            if not self._hopeless(error, first):
                raise
            log.warning("the orchestrator does not take this", task=key.task_id, kind=first.kind, why=error.detail)
            if first.kind is Kind.OUTPUT:
                self._leave_out(letters, error)
                return True
        self._failures.pop(first.id, None)
        if first.kind is Kind.VERDICT:
            self._journal.settle(key)
            on_settled(key)
        elif first.kind in (Kind.ARTIFACT, Kind.SESSION):
            self._journal.sent([first])
        return True

    def _send(self, key: Key, letters: list[Letter]) -> None:
        first = letters[0]
        if first.kind is Kind.OUTPUT:
            self._send_output(key, letters)
        elif first.kind is Kind.ARTIFACT:
            self._send_artifact(first)
        elif first.kind is Kind.SESSION:
            self._client.report_session(SessionUpload.model_validate_json(first.body))
        else:
            self._client.report_status(StatusReport.model_validate_json(first.body))

    def _send_output(self, key: Key, batch: list[Letter]) -> None:
        chunks = [OutputChunk.model_validate_json(letter.body) for letter in batch]
        body = OutputBatch(attempt=key.attempt, chunks=chunks)
        accepted = self._client.report_output(key.task_id, body)
        done = [letter for letter, chunk in zip(batch, chunks, strict=True) if chunk.seq <= accepted]
        if not done and accepted + 1 < chunks[0].seq:
            # what it wants first is here no more, and it takes nothing after a gap: it may have been restored
            log.warning("output is lost: the orchestrator lacks what came before", task=key.task_id, has=accepted)
            done = batch
        self._journal.sent(done)
        if not done:
            raise ClientError(f"the orchestrator kept no output of task {key.task_id}")

    def _leave_out(self, batch: list[Letter], error: Refused) -> None:
        """Put a mark in the place of output that is answered 500 for ever: after a gap nothing would be taken."""
        first = batch[0]
        if error.transient and self._failures[first.id] == PATIENCE_WITH_500:
            chunks = [OutputChunk.model_validate_json(letter.body) for letter in batch]
            size = sum(len(chunk.text.encode()) for chunk in chunks)
            marked = [chunk.model_copy(update={"text": ""}) for chunk in chunks]
            marked[0] = chunks[0].model_copy(update={"text": FAILED.format(size=size), "stream": Stream.STDERR})
            self._journal.rewrite(batch, [chunk.model_dump_json() for chunk in marked])
        else:
            self._failures.pop(first.id, None)
            self._journal.sent(batch)

    def _send_artifact(self, letter: Letter) -> None:
        path, name = json.loads(letter.body)
        try:
            with self._workspaces.of(letter.key).artifact(letter.key.short, path) as file:
                digest = _digest(file)
                file.seek(0)
                self._client.put_artifact(letter.key.task_id, name, file, digest, attempt=letter.key.attempt)
        except OSError as error:
            log.warning("an artifact cannot be read", task=letter.key.task_id, path=path, error=str(error))

    def _hopeless(self, error: Refused, letter: Letter) -> bool:
        if not error.transient:
            return True
        if error.status != 500 or letter.kind is Kind.VERDICT:
            return False
        count = self._failures[letter.id] = self._failures.get(letter.id, 0) + 1
        return count % PATIENCE_WITH_500 == 0

    def _tell(self, error: ClientError | NoRoom) -> None:
        if str(error) != self._told:
            self._told = str(error)
            what = "the disk" if isinstance(error, NoRoom) else "the orchestrator"
            log.warning(f"reports wait for {what}", error=self._told)


def _batch(letters: list[Letter]) -> list[Letter]:
    """The pieces of output that go in one request."""
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        if letter.kind is not Kind.OUTPUT or (batch and size + letter.size > BATCH_CHARS):
            break
        batch.append(letter)
        size += letter.size
    return batch


def _digest(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while chunk := file.read(CHUNK):
        found.update(chunk)
    return f"sha-256={base64.b64encode(found.digest()).decode()}"
