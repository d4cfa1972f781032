"""A cancel reaches a runner that polls at once, though its heartbeats come every 15 seconds."""

import time
from collections.abc import Callable

from qb.client import QbClient
from qb.contract.states import Reason, TaskStatus
from qb.contract.tasks import Task
from tests.e2e.agent import Node, wait_until

Run = Callable[..., Task]
Ended = Callable[[Task], Task]

BEAT = 15.0
"""Seconds between two heartbeats of the runner."""


def test_a_cancel_does_not_wait_for_the_next_heartbeat(node: Node, client: QbClient, run: Run, ended: Ended) -> None:
    took = []
    for _ in range(3):  # by chance a heartbeat would come in time for one of them
        task = run("trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done")
        wait_until(lambda task=task: client.task_output(task.id), "the container's start")
        begun = time.monotonic()
        client.cancel_task(task.id)
        done = ended(task)
        took.append(time.monotonic() - begun)
        assert (done.status, done.reason) == (TaskStatus.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
    assert max(took) < BEAT / 3, took
