"""Tells the orchestrator every few seconds what this node holds, and hears what to cancel."""

import contextlib
import os
import shutil
import time

import structlog

from qb.client import ClientError, Refused
from qb.contract.nodes import Heartbeat, HeartbeatReply, Held
from qb.contract.states import NodeStatus
from remote_runner.intake import Intake
from remote_runner.records import Key
from remote_runner.tools import Tools
from remote_runner.trouble import Trouble

BEATS_IN_LEASE = 4
HURRIED = 1.0
"""Seconds, at most, in which a pull node that holds something does not listen."""

log = structlog.get_logger()


def beat(tools: Tools, intake: Intake) -> None:
    """Send heartbeats until told to stop, four in each lease at least.

    A pull node that holds nothing lets every second one go: its polls say that it lives. One that holds something lets
    the orchestrator answer when it has news, so that a cancel comes at once.
    """
    trouble, interval = Trouble("no answer to the heartbeat"), tools.config.heartbeat_interval
    rested, heard = True, False
    while not tools.stop.is_set():
        begun = time.monotonic()
        used = tools.membership.key
        intake.taken.clear()
        said = _said(tools)
        polls = tools.config.mode == "pull" and not intake.draining.is_set()
        rested = polls and said.status is NodeStatus.IDLE and not rested
        if rested:
            intake.taken.wait(interval)
            continue
        if tools.config.mode == "pull" and heard and said.running:
            said.wait = interval
        heard = False
        try:
            reply = tools.client.heartbeat(said)
        except ClientError as error:
            if isinstance(error, Refused) and error.status == 401:
                tools.membership.renew(used)
            trouble.note(error)
        else:
            trouble.over()
            heard = True
            _obey(reply, intake)
            interval = min(tools.config.heartbeat_interval, max(0.2, reply.lease_seconds / BEATS_IN_LEASE))
        left = max(0.0, interval - (time.monotonic() - begun))
        if heard and tools.config.mode == "pull" and said.running:
            left = min(left, HURRIED)
        # What has just been taken may be cancelled at once, too.
        intake.taken.wait(left)
    if tools.config.mode == "run-once":
        with contextlib.suppress(ClientError):
            tools.client.heartbeat(_said(tools))  # nobody else says that the node is free again


def _said(tools: Tools) -> Heartbeat:
    held = tools.journal.held()
    return Heartbeat(
        status=NodeStatus.BUSY if held else NodeStatus.IDLE,
        current_task_id=held[0].task_id if held else None,
        running=[Held(task_id=key.task_id, attempt=key.attempt) for key in held],
        load=os.getloadavg()[0],
        disk_free=shutil.disk_usage(tools.logs).free,
    )


def _obey(reply: HeartbeatReply, intake: Intake) -> None:
    """Do what the reply says."""
    for each in reply.cancel:
        intake.cancel(Key(each.task_id, each.attempt))
    if reply.drain != intake.draining.is_set():
        log.info("draining" if reply.drain else "taking tasks again")
        (intake.draining.set if reply.drain else intake.draining.clear)()
