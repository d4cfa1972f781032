"""Where assignments come in, whichever transport brings them."""

import re
import threading
from enum import StrEnum

import structlog

from qb.contract.tasks import Assignment
from remote_runner.executor import Executor
from remote_runner.journal import Journal
from remote_runner.records import Entry, Key, Phase

_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{7,63}")
log = structlog.get_logger()


class Offer(StrEnum):
    """The answer to an assignment."""

    ACCEPTED = "accepted"
    BUSY = "busy"
    DUPLICATE = "duplicate"
    INVALID = "invalid"


class Intake:
    """Takes assignments once each. Thread-safe."""

    def __init__(self, journal: Journal, executor: Executor, boot_id: str) -> None:
        self._journal = journal
        self._executor = executor
        self._boot_id = boot_id
        self._lock = threading.Lock()
        self.draining = threading.Event()

    def offer(self, assignment: Assignment) -> Offer:
        """Journal the assignment and begin it, unless it is known or there is no room."""
        if not _SAFE_ID.fullmatch(assignment.task_id):
            # the id names folders and containers
            log.error("refused an assignment with an id that is none", task=assignment.task_id)
            return Offer.INVALID
        key = Key(assignment.task_id, assignment.attempt)
        with self._lock:
            if self._journal.phase(key) is not None:
                return Offer.DUPLICATE
            # Draining ends the asking, not the taking: what the orchestrator gives, it means to give.
            if not self._executor.free:
                return Offer.BUSY
            self._journal.intend(assignment, self._boot_id)
            self._executor.run(Entry(key, Phase.INTENT, assignment, self._boot_id, False, ""))
        log.info("accepted", task=key.task_id, attempt=key.attempt)
        return Offer.ACCEPTED

    def wait_ready(self, timeout: float) -> bool:
        """Wait until a new assignment could be taken."""
        return self._executor.wait_free(timeout) and not self.draining.is_set()
