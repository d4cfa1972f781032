"""What outlives the runner, and what outlives the orchestrator."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.podman

COUNT = "for i in $(seq 1 30); do echo $i; sleep 0.1; done"
COUNTED = "".join(f"{number}\n" for number in range(1, 31))


def test_a_runner_killed_while_the_container_runs_loses_nothing(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    task_id = orchestrator.assign(COUNT)
    until(lambda: orchestrator.output, what="output")
    container = runner.containers()
    runner.end(signal.SIGKILL)
    runner.start()
    assert runner.containers() == container
    verdict = orchestrator.verdict(task_id)
    assert (verdict.status, verdict.exit_code) == ("success", 0)
    assert orchestrator.text(task_id) == COUNTED
    assert len(orchestrator.verdicts(task_id)) == 1
    assert any(f"{task_id}:1" in poll for poll in orchestrator.polls) or any(
        beat.running and beat.running[0].task_id == task_id for beat in orchestrator.heartbeats
    )


def test_a_container_that_ended_while_the_runner_was_dead_is_reported(
    orchestrator: Any, runner: Any, until: Any
) -> None:
    runner.start()
    task_id = orchestrator.assign(f"{COUNT}; exit 3")
    until(lambda: orchestrator.output, what="output")
    runner.end(signal.SIGKILL)
    until(lambda: not runner.containers("--filter", "status=running"), what="the container's end")
    runner.start()
    verdict = orchestrator.verdict(task_id)
    assert (verdict.reason, verdict.exit_code) == ("exit_nonzero", 3)
    assert orchestrator.text(task_id) == COUNTED


def test_sigterm_leaves_the_container_running_and_the_next_start_takes_it_up(
    orchestrator: Any, runner: Any, until: Any
) -> None:
    runner.start()
    task_id = orchestrator.assign(COUNT)
    until(lambda: orchestrator.output, what="output")
    assert runner.end(signal.SIGTERM, 5) == 0
    assert len(runner.containers("--filter", "status=running")) == 1
    assert not orchestrator.verdicts(task_id)
    runner.start()
    assert orchestrator.verdict(task_id).status == "success"
    assert orchestrator.text(task_id) == COUNTED


def test_an_idle_runner_ends_at_once_on_sigterm(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    until(lambda: orchestrator.polls, what="a poll")
    assert runner.end(signal.SIGTERM, 5) == 0


def test_an_outage_of_the_orchestrator_loses_nothing(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("echo begun; sleep 1; seq 1 100; echo r > $TASK_OUTPUT_DIR/r")
    until(lambda: orchestrator.output, what="output")
    orchestrator.down = True
    until(lambda: not runner.containers("--filter", "status=running"), what="the container's end")
    until(lambda: "ended" in runner.logged(), what="the verdict's writing")
    assert runner.containers(), "a container stays until its verdict is taken"
    runner.end(signal.SIGKILL)
    runner.start()
    orchestrator.down = False
    assert orchestrator.verdict(task_id).status == "success"
    assert orchestrator.text(task_id) == "begun\n" + "".join(f"{n}\n" for n in range(1, 101))
    assert orchestrator.artifacts == {"r": b"r\n"}
    until(lambda: not runner.containers(), what="the container's removal")


def test_a_key_that_stops_working_is_renewed_with_the_token(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    until(lambda: orchestrator.polls, what="a poll")
    orchestrator.key = "qbn_second"
    task_id = orchestrator.assign("echo again")
    assert orchestrator.verdict(task_id).status == "success"
    assert runner.end() == 0
    count = len(orchestrator.registrations)
    # the stored key is used at the next start
    orchestrator.token = "qbr_expired"
    runner.start()
    assert orchestrator.verdict(orchestrator.assign("echo third")).status == "success"
    assert len(orchestrator.registrations) == count + 1


def test_a_refused_token_ends_the_runner_with_one_line(orchestrator: Any, runner: Any) -> None:
    orchestrator.token = "qbr_other"
    runner.start()
    assert runner.process.wait(20) == 1
    last = runner.logged().strip().splitlines()[-1]
    assert last.startswith("remote_runner: ")
    assert "registration token" in last
    assert "Traceback" not in runner.logged()


def test_two_runners_do_not_share_a_state_directory(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    until(lambda: orchestrator.polls, what="a poll")
    first = runner.process
    runner.start()
    second, runner.process = runner.process, first
    assert second.wait(20) == 1
    assert "in use by another runner" in runner.logged()


def test_garbage_for_an_answer_is_told_once_and_survived(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    until(lambda: orchestrator.polls, what="a poll")
    orchestrator.garbage = b"<html>log in to the hotel's network</html>"
    until(lambda: "cannot ask for tasks" in runner.logged(), what="a word on it")
    seen = orchestrator.calls.count("GET /tasks/pending")
    until(lambda: orchestrator.calls.count("GET /tasks/pending") > seen + 3, what="more tries")
    orchestrator.garbage = None
    assert orchestrator.verdict(orchestrator.assign("echo well")).status == "success"
    assert runner.logged().count("cannot ask for tasks") == 1


def test_a_draining_node_takes_nothing_until_it_is_resumed(orchestrator: Any, runner: Any, until: Any) -> None:
    orchestrator.drain = True
    runner.start()
    until(lambda: "draining" in runner.logged(), what="the drain")
    until(lambda: len(orchestrator.heartbeats) > 6, what="heartbeats")
    task_id = orchestrator.assign("echo later")
    orchestrator.drain = False
    assert orchestrator.verdict(task_id).status == "success"


def test_the_podman_service_is_started_again_and_the_task_goes_on(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    task_id = orchestrator.assign(COUNT)
    until(lambda: orchestrator.output, what="output")
    children = Path(f"/proc/{runner.process.pid}/task").glob("*/children")
    (service,) = {int(pid) for each in children for pid in each.read_text().split()}
    os.kill(service, signal.SIGKILL)
    assert orchestrator.verdict(task_id).status == "success"
    assert orchestrator.text(task_id) == COUNTED
