"""The runner killed before and after each journal write and each call of podman and of the orchestrator."""

from collections.abc import Callable
from functools import partial

import pytest

from remote_runner.failpoints import NAMES
from tests.crash.conftest import ENDED, PATIENCE, SLEEPER, Mortal
from tests.e2e.agent import wait_until

pytestmark = [pytest.mark.podman, pytest.mark.crash]
RUNS = 5
OFTEN = ("podman.inspect", "http.report_status", "http.heartbeat", "journal.sent")
"""Steps that are taken more than once for each task: later visits are failpoints too."""

DELIVERY = ("http.poll.after", "journal.intend.before")
"""Dying here always loses what the orchestrator gave. It gives the same attempt three times at most, so that a
runner which dies ever and again is left to live in between."""

CANCELLED, SWEPT, REFUSED, FETCHED = (
    ("journal.cancel", "journal.exited", "podman.stop"),
    ("journal.swept",),
    ("journal.refuse",),
    ("podman.pull",),
)


def failpoints(*steps: str) -> list[str]:
    return sorted(name for name in NAMES if name.rpartition(".")[0] in steps)


def die(mortal: Mortal, failpoint: str, run: int, *options: str) -> None:
    """Start the runner, to end at the failpoint."""
    often = failpoint.rpartition(".")[0] in OFTEN
    mortal.start(f"{failpoint}:{1 + run % 2 if often else 1}", *options)
    mortal.await_death()


@pytest.mark.parametrize("failpoint", sorted(NAMES - {*failpoints(*CANCELLED, *SWEPT, *REFUSED, *FETCHED)}))
def test_a_runner_that_dies_there_again_and_again_loses_nothing(mortals: Callable[[], Mortal], failpoint: str) -> None:
    mortal = mortals()
    tasks = []
    for run in range(RUNS):
        tasks.append(mortal.task())
        die(mortal, failpoint, run)
        if run % 2 == 0 or failpoint in DELIVERY:
            mortal.start()
            for task in tasks:
                mortal.whole(task)
            mortal.clean()
            mortal.kill()


@pytest.mark.parametrize("failpoint", failpoints(*CANCELLED, "podman.remove"))
def test_a_cancellation_outlives_it(mortals: Callable[[], Mortal], failpoint: str) -> None:
    mortal = mortals()
    for _ in range(RUNS):
        task = mortal.task(SLEEPER)
        mortal.start(failpoint)
        wait_until(partial(mortal.started, task), "the start", seconds=PATIENCE)
        mortal.cancel(task)
        mortal.await_death()
        mortal.start()
        found = mortal.ended(task)
        assert (found.status, found.reason) == ("cancelled", "cancelled_by_operator")
        assert found.exit_code == ENDED, "what podman said is not lost with the container"
        assert mortal.starts().count(task.id) == 1
        mortal.one_verdict(task)
        mortal.clean()
        mortal.kill()


@pytest.mark.parametrize("failpoint", failpoints(*REFUSED))
def test_a_refusal_outlives_it(mortals: Callable[[], Mortal], failpoint: str) -> None:
    mortal = mortals()
    for run in range(RUNS):
        task = mortal.unfit_task()
        die(mortal, failpoint, run)
        mortal.start()
        found = mortal.ended(task)
        assert (found.status, found.reason) == ("error", "refused_by_node")
        mortal.one_verdict(task)
        mortal.clean()
        mortal.kill()
    assert mortal.starts() == []


@pytest.mark.parametrize("failpoint", failpoints(*FETCHED))
def test_a_launch_that_cannot_be_is_told_all_the_same(mortals: Callable[[], Mortal], failpoint: str) -> None:
    mortal = mortals()
    task = mortal.task(image="localhost:1/no/such:image")
    for run in range(RUNS):
        die(mortal, failpoint, run)
    mortal.start()
    assert mortal.ended(task).reason == "launch_failed"
    assert mortal.starts() == []
    mortal.one_verdict(task)
    mortal.clean()


@pytest.mark.parametrize("failpoint", failpoints(*SWEPT))
def test_a_workspace_is_swept_in_the_end(mortals: Callable[[], Mortal], failpoint: str) -> None:
    mortal = mortals()
    options = ("--keep-workspaces", "0", "--workspace", "task")
    folder = mortal.node.folder / "state" / "workspaces"
    for run in range(RUNS):
        task = mortal.task()
        mortal.start("", *options)
        assert mortal.ended(task).exit_code == 7
        mortal.clean()
        mortal.kill()
        assert f"{task.id[:8]}-1" in [each.name for each in folder.iterdir()]
        die(mortal, failpoint, run, *options)
    mortal.start("", *options)
    wait_until(lambda: not list(folder.iterdir()), "the sweep", seconds=PATIENCE)
