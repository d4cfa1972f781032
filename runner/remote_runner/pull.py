"""The pull transport: asks the orchestrator for assignments and hands them to the intake."""

import contextlib
import time

import structlog

from qb.client import BadAssignment, ClientError, Refused
from qb.contract.states import Reason
from qb.contract.tasks import MAX_POLL_WAIT
from remote_runner import verdict
from remote_runner.admission import is_task_id
from remote_runner.backoff import Backoff
from remote_runner.intake import Intake, Offer
from remote_runner.records import Key
from remote_runner.tools import Tools
from remote_runner.trouble import Trouble

HURRIED = 1.0
"""Seconds: an empty answer that comes sooner was not a long poll."""

log = structlog.get_logger()


def poll(tools: Tools, intake: Intake) -> None:
    """Long-poll until told to stop, slower after failures, at once again after the first success."""
    backoff = Backoff(tools.config.poll_interval)
    trouble = Trouble("cannot ask for tasks")
    while not tools.stop.is_set():
        if not intake.wait_ready(1.0):
            if intake.draining.is_set() or intake.closed.is_set():
                tools.stop.wait(1.0)
            continue
        begun = time.monotonic()
        used = tools.membership.key
        try:
            refused, given = _ask(tools, intake)
        except ClientError as error:
            if isinstance(error, Refused) and error.status == 401:
                tools.membership.renew(used)
            trouble.note(error)
            tools.stop.wait(backoff.next())
            continue
        trouble.over()
        if refused or (not given and time.monotonic() - begun < HURRIED):
            tools.stop.wait(backoff.next())
        else:
            backoff.reset()


def _ask(tools: Tools, intake: Intake) -> tuple[bool, bool]:
    """One poll: whether what came was refused, and whether anything came."""
    try:
        assignment = tools.client.poll(wait=MAX_POLL_WAIT, held=_held(tools))
    except BadAssignment as error:
        key = Key(error.task_id, error.attempt)
        intake.refuse(key, str(error))
        _tell_at_once(tools, key, str(error))
        return True, True
    if assignment is None or tools.stop.is_set():
        # what is not journalled is not held: the orchestrator delivers it again
        return False, False
    offer, why = intake.offer(assignment)
    if offer is Offer.REFUSED:
        _tell_at_once(tools, Key(assignment.task_id, assignment.attempt), why)
    return offer is not Offer.ACCEPTED, True


def _tell_at_once(tools: Tools, key: Key, why: str) -> None:
    """An id that is none has no place in the journal: what the orchestrator shall know of it is said once."""
    if not is_task_id(key.task_id):
        with contextlib.suppress(ClientError):
            tools.client.report_status(verdict.failed(key, Reason.REFUSED_BY_NODE, why))
    tools.outbox_filled()


def _held(tools: Tools) -> str:
    return ",".join(f"{key.task_id}:{key.attempt}" for key in tools.journal.held())
