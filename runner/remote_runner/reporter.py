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
from qb.contract.tasks import OutputBatch, OutputChunk, StatusReport
from remote_runner.backoff import Backoff
from remote_runner.journal import Journal
from remote_runner.membership import Membership
from remote_runner.records import Key, Kind, Letter
from remote_runner.workspaces import Workspaces

BATCH_CHARS = 512 << 10
LONGEST_WAIT = 15.0
CHUNK = 256 << 10
PATIENCE_WITH_500 = 8
"""Tries of what is no verdict that the orchestrator answers with 500 before it is given up."""

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
                except ClientError as error:
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
        used = self._membership.key
        try:
            if first.kind is Kind.OUTPUT:
                self._send_output(key, letters)
            elif first.kind is Kind.ARTIFACT:
                self._send_artifact(first)
            elif first.kind is Kind.SESSION:
                self._client.report_session(SessionUpload.model_validate_json(first.body))
            else:
                self._client.report_status(StatusReport.model_validate_json(first.body))
        except Refused as error:
            if error.status == 401:
                self._membership.renew(used)
                raise
            if not self._hopeless(error, first):
                raise
            log.warning("the orchestrator does not take this", task=key.task_id, kind=first.kind, why=error.detail)
        if first.kind is Kind.VERDICT:
            self._journal.settle(key)
            on_settled(key)
        elif first.kind in (Kind.ARTIFACT, Kind.SESSION):
            self._journal.sent([first])
        return True

    def _send_output(self, key: Key, letters: list[Letter]) -> None:
        batch: list[Letter] = []
        size = 0
        for letter in letters:
            if letter.kind is not Kind.OUTPUT or (batch and size + letter.size > BATCH_CHARS):
                break
            batch.append(letter)
            size += letter.size
        chunks = [OutputChunk.model_validate_json(letter.body) for letter in batch]
        body = OutputBatch(attempt=key.attempt, chunks=chunks)
        try:
            accepted = self._client.report_output(key.task_id, body)
        except Refused as error:
            if error.status != 401 and self._hopeless(error, batch[0]):
                self._journal.sent(batch)
            raise
        done = [letter for letter, chunk in zip(batch, chunks, strict=True) if chunk.seq <= accepted]
        self._journal.sent(done)
        if not done:
            raise ClientError(f"the orchestrator kept no output of task {key.task_id}")

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
        count = self._failures.pop(letter.id, 0) + 1
        if count < PATIENCE_WITH_500:
            self._failures[letter.id] = count
        return count >= PATIENCE_WITH_500

    def _tell(self, error: ClientError) -> None:
        if str(error) != self._told:
            self._told = str(error)
            log.warning("reports wait for the orchestrator", error=self._told)


def _digest(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while chunk := file.read(CHUNK):
        found.update(chunk)
    return f"sha-256={base64.b64encode(found.digest()).decode()}"
