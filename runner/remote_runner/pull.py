"""The pull transport: asks the orchestrator for assignments and hands them to the intake."""

import time

import structlog

from qb.client import ClientError, Refused
from qb.contract.tasks import MAX_POLL_WAIT
from remote_runner.attempt import Tools
from remote_runner.backoff import Backoff
from remote_runner.intake import Intake, Offer

HURRIED = 1.0
"""Seconds: an empty answer that comes sooner was not a long poll."""

log = structlog.get_logger()


def poll(tools: Tools, intake: Intake) -> None:
    """Long-poll until told to stop, slower after failures, at once again after the first success."""
    backoff = Backoff(tools.config.poll_interval)
    told = ""
    while not tools.stop.is_set():
        if not intake.wait_ready(1.0):
            if intake.draining.is_set():
                tools.stop.wait(1.0)
            continue
        begun = time.monotonic()
        used = tools.membership.key
        try:
            assignment = tools.client.poll(wait=MAX_POLL_WAIT, held=_held(tools))
        except ClientError as error:
            if isinstance(error, Refused) and error.status == 401:
                tools.membership.renew(used)
            if str(error) != told:
                told = str(error)
                log.warning("cannot ask for tasks", error=told)
            tools.stop.wait(backoff.next())
            continue
        told = ""
        if tools.stop.is_set():
            # not journalled, so not held: the orchestrator delivers it again
            return
        refused = assignment is not None and intake.offer(assignment) is not Offer.ACCEPTED
        if refused or (assignment is None and time.monotonic() - begun < HURRIED):
            tools.stop.wait(backoff.next())
        else:
            backoff.reset()


def _held(tools: Tools) -> str:
    return ",".join(f"{key.task_id}:{key.attempt}" for key in tools.journal.held())
