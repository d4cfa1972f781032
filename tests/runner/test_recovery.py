"""A runner that died between two steps: the next one goes on from the journal, and starts nothing twice."""

import subprocess
import uuid
from typing import Any

import pytest

from qb.contract.tasks import Assignment
from remote_runner.journal import Journal
from remote_runner.membership import boot_id
from remote_runner.records import Key, Phase
from remote_runner.statedir import StateDir

pytestmark = pytest.mark.podman
IMAGE = "localhost/qb-runner-test:1"


def left_behind(runner: Any, phase: Phase, boot: str, script: str = "echo ran; exit 5") -> tuple[Key, str]:
    """A state directory as a runner leaves it that died at `phase`; the attempt, and the runner's id."""
    key = Key(str(uuid.uuid4()), 1)
    with StateDir(runner.state) as state:
        journal = Journal(runner.state / "journal.db")
        given = Assignment(task_id=key.task_id, prompt=script, orchestrator_url="http://x", timeout_seconds=60)
        journal.intend(given, boot)
        journal.advance(key, phase)
        journal.close()
        return key, state.runner_id


def make_container(runner: Any, key: Key, runner_id: str, verb: str, script: str) -> None:
    labels = {"qb.runner": runner_id, "qb.task": key.task_id, "qb.attempt": "1"}
    options = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    command = ["podman", *verb.split(), "--name", key.container, "--network", "host", *options, IMAGE]
    command += ["--accept-license", "--task", script]
    subprocess.run(command, env=runner.env, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("phase", [Phase.INTENT, Phase.PERMITTED])
def test_what_was_not_started_is_permitted_again_and_started(orchestrator: Any, runner: Any, phase: Phase) -> None:
    key, _ = left_behind(runner, phase, boot_id())
    runner.start()
    verdict = orchestrator.verdict(key.task_id)
    assert (verdict.reason, verdict.exit_code) == ("exit_nonzero", 5)
    assert orchestrator.permits(key.task_id) == 1
    assert orchestrator.text(key.task_id) == "ran\n"


@pytest.mark.parametrize("phase", [Phase.PERMITTED, Phase.STARTED])
def test_a_container_that_was_made_and_not_started_is_the_one_that_runs(
    orchestrator: Any, runner: Any, phase: Phase
) -> None:
    key, runner_id = left_behind(runner, phase, boot_id())
    make_container(runner, key, runner_id, "create", "exit 9")
    runner.start()
    assert orchestrator.verdict(key.task_id).exit_code == 9


def test_a_container_that_ended_unseen_is_not_run_again(orchestrator: Any, runner: Any) -> None:
    key, runner_id = left_behind(runner, Phase.STARTED, boot_id())
    make_container(runner, key, runner_id, "run -d", "exit 9")
    runner.start()
    assert orchestrator.verdict(key.task_id).exit_code == 9
    assert orchestrator.permits(key.task_id) == 0


def test_a_started_container_that_is_gone_is_not_made_again(orchestrator: Any, runner: Any) -> None:
    key, _ = left_behind(runner, Phase.STARTED, boot_id())
    runner.start()
    verdict = orchestrator.verdict(key.task_id)
    assert verdict.reason == "launch_failed"
    assert "gone" in verdict.message
    assert (key.task_id, 1) not in orchestrator.output


def test_another_boot_ends_what_was_started(orchestrator: Any, runner: Any) -> None:
    key, runner_id = left_behind(runner, Phase.STARTED, "an earlier boot")
    make_container(runner, key, runner_id, "create", "exit 9")
    runner.start()
    assert orchestrator.verdict(key.task_id).reason == "node_rebooted"


def test_a_container_left_over_after_its_verdict_is_removed(orchestrator: Any, runner: Any, until: Any) -> None:
    key, runner_id = left_behind(runner, Phase.REPORTED, boot_id())
    make_container(runner, key, runner_id, "create", "exit 9")
    runner.start()
    until(lambda: orchestrator.polls, what="a poll")
    until(lambda: not runner.containers(), what="the removal")
    assert not orchestrator.reports
