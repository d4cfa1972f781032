"""Rules 7 and 8: sessions whenever they come, and cancelling what cannot be told to stop."""

import pytest

from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_b import PullB
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_e import PullE
from tests.conformance.generation_ours import PullOurs
from tests.conformance.joining import PULLING, join
from tests.conformance.pull_runner import PullRunner

# rule 7: logs before or after the end; E's stale sessions


def test_a_session_is_taken_before_and_after_the_end(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    agent = runner.container.agent
    assert agent.session({"id": "early", "cost": 0.25}).status_code == 200
    agent.report("success")
    assert agent.session({"id": "late", "cost": 0.5}).status_code == 200
    assert [each["id"] for each in plane.call("GET", f"/logs/{task}").json()] == ["early", "late"]
    assert plane.show(task)["cost"] == pytest.approx(0.75)


def test_a_session_older_than_the_task_is_marked_and_counts_no_cost(plane: ControlPlane) -> None:
    runner = join(plane, PullE)
    now = int(plane.clock().timestamp())
    runner.session = {"id": "old", "cost": 9.0, "created_at": now - 7200, "updated_at": now - 3600}
    task = plane.task()
    runner.turn()
    runner.ends(0)
    assert plane.state(task) == ("success", None)
    kept = plane.call("GET", f"/logs/{task}").json()
    assert [(each["id"], each["stale"]) for each in kept] == [("old", True)]
    assert not plane.show(task)["cost"]


def test_a_session_of_the_task_itself_is_not_stale(plane: ControlPlane) -> None:
    runner = join(plane, PullE)
    now = int(plane.clock().timestamp())
    runner.session = {"id": "own", "cost": 1.5, "created_at": now + 1, "updated_at": now + 20, "messages": []}
    task = plane.task()
    runner.turn()
    runner.ends(0)
    assert plane.call("GET", f"/logs/{task}").json()[0]["stale"] is False
    assert plane.show(task)["cost"] == pytest.approx(1.5)


def test_a_session_may_hold_anything_in_its_messages(plane: ControlPlane) -> None:
    runner = join(plane, PullE)
    message = {"role": "assistant", "model": None, "provider": None, "created_at": 1, "finished_at": None}
    contents = ['[{"type": "text", "data": {"text": "hi"}}]', "no JSON at all", "", None]
    runner.session = {
        "id": "s1",
        "title": None,
        "messages": [{"id": str(number), "content": text, **message} for number, text in enumerate(contents)],
    }
    task = plane.task()
    runner.turn()
    runner.ends(0)
    kept = plane.call("GET", f"/logs/{task}").json()[0]
    assert [each["content"] for each in kept["messages"]] == contents


# rule 8: no old runner hears of a cancel


@pytest.mark.parametrize("kind", PULLING)
def test_a_cancelled_task_of_an_old_node_ends_cancel_unconfirmed_after_a_grace(
    plane: ControlPlane, kind: type[PullRunner]
) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn()
    shown = plane.call("DELETE", f"/tasks/{task}").json()
    assert (shown["status"], shown["cancel_requested"]) == ("running", True)
    plane.passes(59)
    runner.turn()
    assert plane.state(task) == ("running", None)
    plane.passes(2)
    assert plane.ends(task) == ("cancelled", "cancel_unconfirmed")


@pytest.mark.parametrize("kind", [PullB, PullC, PullD])
def test_the_reply_to_a_report_says_that_a_cancel_is_wanted(plane: ControlPlane, kind: type[PullRunner]) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn()
    agent = runner.container.agent
    assert agent.report("running", progress=1).json()["cancel_requested"] is False
    plane.call("DELETE", f"/tasks/{task}")
    told = agent.report("running", progress=2).json()
    assert (told["cancel_requested"], told["status"]) == (True, "running")


def test_an_agent_that_heeds_the_cancel_ends_the_task_cancelled(plane: ControlPlane) -> None:
    runner = join(plane, PullD)
    task = plane.task(max_attempts=3)
    runner.turn()
    plane.call("DELETE", f"/tasks/{task}")
    runner.ends(1)
    assert plane.state(task) == ("cancelled", "cancelled_by_operator")


def test_success_before_the_grace_is_over_is_success(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    plane.call("DELETE", f"/tasks/{task}")
    runner.container.agent.report("success")
    assert plane.state(task) == ("success", None)


def test_a_cancelled_delivery_is_not_made_again(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task(max_attempts=3)
    runner.turn(reply_lost=True, heartbeat_lost=True)
    plane.call("DELETE", f"/tasks/{task}")
    runner.turn()
    assert runner.started == []
    plane.passes(61)
    assert plane.ends(task) == ("cancelled", "cancel_unconfirmed")


def test_our_runner_proves_the_container_gone(plane: ControlPlane) -> None:
    runner = join(plane, PullOurs)
    task = plane.task()
    runner.turn()
    plane.call("DELETE", f"/tasks/{task}")
    runner.heartbeat()
    assert plane.state(task) == ("cancelled", "cancelled_by_operator")
    assert runner.container.exit_code == 137
