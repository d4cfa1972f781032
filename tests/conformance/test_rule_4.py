"""Rule 4: a registration under a name that exists is the same node with a new key."""

import pytest

from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_a import PullA
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_e import PullE
from tests.conformance.joining import REGISTERING, join
from tests.conformance.pull_runner import PullRunner


@pytest.mark.parametrize("kind", REGISTERING)
def test_a_runner_that_starts_anew_is_the_same_node_with_a_new_key(plane: ControlPlane, kind: type[PullRunner]) -> None:
    runner = join(plane, kind)
    before = (runner.node_id, runner.api_key)
    runner.start()
    assert runner.node_id == before[0]
    assert runner.api_key != before[1]


def test_the_older_key_stops_polling_at_once(plane: ControlPlane) -> None:
    runner = join(plane, PullD)
    older = runner.api_key
    runner.start()
    assert plane.call("GET", "/tasks/pending", key=older).status_code == 401
    assert plane.call("POST", "/nodes/heartbeat", {"status": "idle"}, key=older).status_code == 401
    assert plane.call("GET", "/files/any", key=older).status_code == 401
    assert plane.call("GET", "/tasks/pending", key=runner.api_key).status_code == 200


def test_the_verdict_of_a_surviving_container_counts_within_60_seconds(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    survivor = runner.killed()
    runner.start()
    runner.turn()
    plane.passes(59)
    assert survivor.agent.report("success", message="in spite of all").status_code == 200
    assert plane.state(task) == ("success", None)


@pytest.mark.parametrize("kind", REGISTERING)
def test_without_a_verdict_the_task_ends_runner_restarted_after_60_seconds(
    plane: ControlPlane, kind: type[PullRunner]
) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn()
    runner.terminated()
    runner.start()
    runner.turn()
    plane.passes(40)
    runner.turn()
    assert plane.state(task) == ("running", None)
    plane.passes(21)
    assert plane.ends(task) == ("error", "runner_restarted")


def test_where_retries_were_allowed_the_task_starts_again_after_a_restart(plane: ControlPlane) -> None:
    runner = join(plane, PullE)
    task = plane.task(max_attempts=2, backoff_seconds=0)
    runner.turn()
    runner.terminated()
    runner.start()
    plane.passes(61)
    assert plane.ends(task) == ("pending", None)
    runner.turn()
    assert runner.started == [task, task]


def test_a_restarted_node_gets_nothing_else_while_its_task_waits_for_a_verdict(plane: ControlPlane) -> None:
    runner = join(plane, PullD)
    first, second = plane.task(), plane.task()
    runner.turn()
    runner.terminated()
    runner.start()
    runner.turn()
    assert not runner.busy
    plane.passes(61)
    plane.ends(first)
    runner.turn()
    assert runner.started == [first, second]


def test_the_older_key_may_report_until_an_hour_after_its_attempt_ended(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    survivor = runner.killed()
    runner.start()
    plane.passes(61)
    assert plane.ends(task) == ("error", "runner_restarted")
    plane.passes(3500)
    assert survivor.agent.session({"id": "s1", "title": "late"}).status_code == 200
    assert survivor.agent.report("success").status_code == 409, "kept as an event, and not applied"
    assert plane.events(task)[-1]["applied"] is False
    plane.passes(110)
    assert survivor.agent.session({"id": "s1", "title": "later"}).status_code == 401
    assert survivor.agent.report("success").status_code == 401
    assert plane.state(task) == ("error", "runner_restarted")


def test_the_older_key_may_report_on_its_own_attempt_alone(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    older = runner.api_key
    runner.turn()
    plane.passes(10)
    runner.start()
    plane.passes(10)
    task = plane.task()
    runner.turn()
    assert runner.started == [task]
    body = {"job_id": task, "status": "error"}
    assert plane.call("POST", "/status", body, key=older).status_code == 404
    assert plane.state(task) == ("running", None)


def test_the_older_key_does_not_speak_for_a_later_attempt_of_its_task(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task(max_attempts=2, backoff_seconds=0)
    runner.turn()
    survivor = runner.killed()
    runner.start()
    plane.passes(61)
    assert plane.ends(task) == ("pending", None)
    runner.turn()
    assert survivor.agent.report("success").status_code == 409
    assert plane.state(task) == ("running", None)
    assert runner.container.agent.report("success").status_code == 200


def test_a_has_no_restart_that_shows_and_its_container_may_go_on(keyless_plane: ControlPlane) -> None:
    runner = join(keyless_plane, PullA)
    task = keyless_plane.task()
    runner.turn()
    survivor = runner.killed()
    assert survivor.agent.report("success").status_code == 200
    assert keyless_plane.state(task) == ("success", None)
