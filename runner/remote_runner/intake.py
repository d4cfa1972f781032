"""Where assignments come in, whichever transport brings them."""

import threading
from enum import StrEnum

import structlog

from qb.contract.states import Reason
from qb.contract.tasks import Assignment
from remote_runner import verdict
from remote_runner.admission import is_task_id, objection
from remote_runner.executor import Executor
from remote_runner.journal import Journal
from remote_runner.journal_file import NoRoom
from remote_runner.records import Entry, Key, Phase

log = structlog.get_logger()


class Offer(StrEnum):
    """The answer to an assignment."""

    ACCEPTED = "accepted"
    BUSY = "busy"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    CLOSED = "closed"


class Intake:
    """Takes assignments once each; with `once` a single one. Thread-safe."""

    def __init__(self, journal: Journal, executor: Executor, boot_id: str, *, once: bool = False) -> None:
        self._journal = journal
        self._executor = executor
        self._boot_id = boot_id
        self._once = once
        self._lock = threading.Lock()
        self.draining = threading.Event()
        self.closed = threading.Event()
        self.taken = threading.Event()
        """Set with each assignment that is taken, and when the runner ends; who waits for that clears it."""

    def offer(self, assignment: Assignment) -> tuple[Offer, str]:
        """Journal the assignment and begin it, unless it is known, wrong, or has no room; why, when refused."""
        key = Key(assignment.task_id, assignment.attempt)
        wrong = objection(assignment)
        if wrong is not None:
            return self.refuse(key, wrong), wrong
        try:
            return self._take(key, assignment), ""
        except NoRoom as error:
            # what is not journalled is not held: the orchestrator gives it again, here or elsewhere
            log.error("nothing is taken: the node's disk is full", task=key.task_id, error=str(error))
            return Offer.BUSY, "the node's disk is full: send it again later, or to another node"

    def _take(self, key: Key, assignment: Assignment) -> Offer:
        with self._lock:
            if self._journal.phase(key) is not None:
                return Offer.DUPLICATE
            if self.closed.is_set():
                return Offer.CLOSED
            # Draining ends the asking, not the taking: what the orchestrator gives, it means to give.
            if not self._executor.free:
                return Offer.BUSY
            self._journal.intend(assignment, self._boot_id)
            self._executor.run(Entry(key, Phase.INTENT, assignment, self._boot_id, False, ""))
            self.taken.set()
            if self._once:
                self.closed.set()
        log.info("accepted", task=key.task_id, attempt=key.attempt)
        return Offer.ACCEPTED

    def refuse(self, key: Key, why: str) -> Offer:
        """Run nothing of this attempt, and let the outbox say so; an id that is none is only logged."""
        log.error("refused an assignment", task=key.task_id, attempt=key.attempt, why=why)
        if is_task_id(key.task_id):
            nothing = Assignment(task_id=key.task_id, attempt=key.attempt, prompt="", orchestrator_url="")
            with self._lock:
                report = verdict.failed(key, Reason.REFUSED_BY_NODE, why)
                try:
                    if not self._journal.refuse(nothing, self._boot_id, report):
                        return Offer.DUPLICATE
                except NoRoom as error:
                    log.error("the refusal is not journalled", task=key.task_id, error=str(error))
                    return Offer.BUSY
        return Offer.REFUSED

    def cancel(self, key: Key) -> None:
        """Stop an attempt; one that is not here, or has ended, is left as it is."""
        self._executor.cancel(key)

    def wait_ready(self, timeout: float) -> bool:
        """Wait until a new assignment could be taken."""
        ready = self._executor.wait_free(timeout)
        return ready and not self.draining.is_set() and not self.closed.is_set()
