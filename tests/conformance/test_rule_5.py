"""Rule 5: the order of an old runner's requests tells what became of a delivery."""

import pytest

from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_a import PullA
from tests.conformance.generation_b import PullB
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_e import PullE
from tests.conformance.joining import PULLING, join, known
from tests.conformance.pull_runner import INTERVAL, PullRunner

UNSURE = [PullA, PullB, PullC]
SURE = [PullD, PullE]


@pytest.mark.parametrize("kind", PULLING)
def test_the_heartbeat_after_a_delivery_moves_the_task_to_running(plane: ControlPlane, kind: type[PullRunner]) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn()
    shown = plane.show(task)
    assert (shown["status"], shown["started_at"] is not None) == ("running", True)


@pytest.mark.parametrize("kind", SURE)
def test_a_reply_that_was_lost_is_delivered_again_to_d_and_e(plane: ControlPlane, kind: type[PullRunner]) -> None:
    runner = known(plane, kind)
    task = plane.task()
    runner.turn(reply_lost=True)
    assert plane.state(task) == ("assigned", None)
    plane.passes(INTERVAL)
    runner.turn()
    assert (runner.container.task_id, plane.show(task)["attempt"]) == (task, 1)
    assert plane.state(task) == ("running", None)


@pytest.mark.parametrize("kind", SURE)
def test_what_an_admin_knows_of_a_node_counts_before_its_first_report(
    plane: ControlPlane, kind: type[PullRunner]
) -> None:
    runner = join(plane, kind)
    runner.turn()
    assert plane.node("old")["generation"] == "C", "nothing that it has sent tells it apart"
    generation = kind.__name__[-1]
    changed = plane.call("PATCH", "/nodes/old", {"generation": generation})
    assert (changed.status_code, changed.json()["generation"]) == (200, generation)
    task = plane.task()
    runner.turn(reply_lost=True)
    assert plane.state(task) == ("assigned", None)
    plane.passes(INTERVAL)
    runner.turn()
    assert (plane.state(task), plane.node("old")["generation"]) == (("running", None), generation)


@pytest.mark.parametrize("kind", SURE)
def test_a_reply_is_delivered_three_times_at_most(plane: ControlPlane, kind: type[PullRunner]) -> None:
    runner = known(plane, kind)
    task = plane.task()
    for _ in range(3):
        runner.turn(reply_lost=True)
        plane.passes(INTERVAL)
    assert plane.state(task) == ("error", "undeliverable")
    assert plane.kinds(task).count("redelivered") == 2
    runner.turn()
    assert task not in runner.started


@pytest.mark.parametrize("kind", UNSURE)
def test_from_a_to_c_an_idle_heartbeat_after_a_delivery_ends_the_task_undeliverable(
    plane: ControlPlane, kind: type[PullRunner]
) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn(reply_lost=True)
    assert plane.state(task) == ("error", "undeliverable")
    runner.turn()
    assert runner.started == []


@pytest.mark.parametrize("kind", UNSURE)
def test_a_to_c_get_the_task_again_where_retries_were_allowed(plane: ControlPlane, kind: type[PullRunner]) -> None:
    runner = join(plane, kind)
    task = plane.task(max_attempts=2, backoff_seconds=0)
    runner.turn(reply_lost=True)
    plane.passes(INTERVAL)
    runner.turn()
    assert runner.started == [task]
    assert plane.show(task)["attempt"] == 2, "it may be a second start, and counts as one"


def test_the_starts_that_retries_allow_are_counted(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task(max_attempts=2, backoff_seconds=0)
    runner.turn(reply_lost=True)
    runner.turn(reply_lost=True)
    assert plane.state(task) == ("error", "undeliverable")


def test_a_node_that_is_not_told_apart_yet_is_never_sent_a_task_twice(plane: ControlPlane) -> None:
    runner = join(plane, PullE)
    task = plane.task()
    runner.turn(reply_lost=True)
    assert plane.state(task) == ("error", "undeliverable")


def test_d_whose_container_ended_at_once_names_the_task_and_has_told_its_end(plane: ControlPlane) -> None:
    runner = known(plane, PullD)
    runner.plays = lambda _: 0
    task = plane.task()
    runner.turn()
    assert plane.state(task) == ("success", None)


def test_d_that_names_the_task_when_idle_again_has_run_it(plane: ControlPlane) -> None:
    runner = known(plane, PullD)
    task = plane.task()
    assert runner.poll()["task_id"] == task
    body = {"node_id": runner.node_id, "status": "idle", "current_task_id": task}
    plane.call("POST", "/nodes/heartbeat", body, key=runner.api_key)
    assert plane.state(task) == ("running", None)


def test_d_that_names_only_its_earlier_task_has_not_had_this_one(plane: ControlPlane) -> None:
    runner = known(plane, PullD)
    earlier = runner.container.task_id
    task = plane.task()
    runner.turn(reply_lost=True)
    assert plane.node("old")["current_task_id"] == earlier
    runner.turn()
    assert runner.container.task_id == task


@pytest.mark.parametrize("kind", PULLING)
def test_a_delivery_that_no_heartbeat_follows_ends_undeliverable(plane: ControlPlane, kind: type[PullRunner]) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn(reply_lost=True, heartbeat_lost=True)
    plane.passes(301)
    assert plane.ends(task) == ("error", "undeliverable")


@pytest.mark.parametrize("kind", [PullB, PullC, PullD])
def test_a_poll_without_a_heartbeat_since_the_delivery_ends_it_undeliverable(
    plane: ControlPlane, kind: type[PullRunner]
) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn(reply_lost=True, heartbeat_lost=True)
    runner.turn()
    assert plane.state(task) == ("error", "undeliverable")
    assert runner.started == []


@pytest.mark.parametrize("kind", PULLING)
def test_a_poll_while_the_task_runs_leaves_60_seconds_for_the_verdict(
    plane: ControlPlane, kind: type[PullRunner]
) -> None:
    runner = join(plane, kind)
    runner.on_exit = lambda _: None  # whatever it sent was lost
    task = plane.task()
    runner.turn()
    runner.ends(0)
    plane.passes(INTERVAL)
    runner.turn()
    plane.passes(59)
    runner.turn()
    assert plane.state(task) == ("running", None)
    plane.passes(2)
    assert plane.ends(task) == ("error", "verdict_missing")
    next_task = plane.task()
    runner.turn()
    assert runner.container.task_id == next_task


def test_a_verdict_within_the_60_seconds_counts(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    runner.ends(0)
    runner.turn()
    plane.passes(50)
    assert runner.container.agent.report("success").status_code == 200
    plane.passes(60)
    assert plane.state(task) == ("success", None)


# leases of older clients: 300 s, or three of their intervals


def test_a_node_that_calls_every_30_seconds_keeps_its_task(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task(timeout_seconds=None)
    runner.turn()
    for _ in range(12):
        plane.passes(290)
        runner.turn()
    assert plane.state(task) == ("running", None)


def test_a_node_that_falls_silent_loses_its_task_after_300_seconds(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    plane.passes(299)
    plane.until(lambda: plane.node("old")["status"] == "offline")
    assert plane.state(task) == ("running", None)
    plane.passes(2)
    assert plane.ends(task) == ("error", "lease_expired")


def test_a_node_with_a_long_interval_keeps_its_task_for_three_of_them(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    for _ in range(3):
        runner.turn()
        plane.passes(600)
    task = plane.task(timeout_seconds=None)
    runner.turn()
    plane.passes(1790)
    assert plane.node("old")["status"] == "busy"
    assert plane.state(task) == ("running", None)
    plane.passes(20)
    assert plane.ends(task) == ("error", "lease_expired")


def test_reports_and_sessions_of_the_holder_renew_the_lease(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    agent = runner.container.agent
    for _ in range(2):
        plane.passes(290)
        assert agent.report("running", progress=10).status_code == 200
    plane.passes(290)
    assert agent.session({"id": "s1"}).status_code == 200
    plane.passes(170)
    assert plane.state(task) == ("running", None)
    plane.until(lambda: plane.node("old")["status"] != "offline")
