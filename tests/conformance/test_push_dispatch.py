"""Older push nodes: a task is brought once, watched through a status that names no task, and settled."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.control_plane import ControlPlane, running
from tests.conformance.generation_a import PushA
from tests.conformance.generation_b import PushB
from tests.conformance.push_runner import PushRunner, listening


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane whose push nodes may be on this machine."""
    with running(tmp_path / "qb", loopback_nodes=True) as own:
        yield own


@pytest.fixture
def node(plane: ControlPlane) -> Iterator[PushRunner]:
    """A push node of generation A that an admin has registered; it listens."""
    with listening(PushA(orchestrator_url=plane.url)) as runner:
        runner.api_key = plane.add_node("push", mode="push", api_endpoint=runner.endpoint)
        yield runner


def begun(plane: ControlPlane, **more: Any) -> str:
    """A task that a node runs."""
    task = plane.task(**more)
    plane.until(lambda: plane.state(task)[0] == "running")
    return task


def look(plane: ControlPlane, node: PushRunner, seconds: float = 6) -> None:
    """Let time pass, and the node be asked for its status; once more, and the first answer has been taken in."""
    for passing in (seconds, 6):
        before = node.asked.count("/status")
        plane.passes(passing)
        plane.until(lambda: node.asked.count("/status") > before)  # noqa: B023  called at once


def test_a_task_is_brought_at_once_with_the_fields_of_old(plane: ControlPlane, node: PushRunner) -> None:
    task = begun(plane)
    assert [body["task_id"] for body in node.runs] == [task]
    assert set(node.runs[0]) == {"task_id", "prompt", "orchestrator_url", "timeout_seconds"}
    plane.until(lambda: plane.node("push")["status"] != "offline")


def test_a_node_that_registers_itself_with_leave_is_brought_tasks_too(plane: ControlPlane) -> None:
    with listening(PushB(name="self", orchestrator_url=plane.url)) as runner:
        assert runner.register(plane.url, plane.push_token()).status_code == 200
        begun(plane)
        assert len(runner.runs) == 1


def test_the_reporter_s_word_counts_before_the_exit_code(plane: ControlPlane, node: PushRunner) -> None:
    task = begun(plane)
    node.ends(1)
    look(plane, node)
    said = {"job_id": task, "status": "success", "message": "all done"}
    assert plane.call("POST", "/status", said, key=node.api_key).status_code == 200
    plane.passes(61)
    assert plane.state(task) == ("success", None)


@pytest.mark.parametrize(("code", "state"), [(0, ("success", None)), (3, ("error", "exit_nonzero"))])
def test_the_exit_code_settles_a_task_on_which_nobody_gives_a_verdict(
    plane: ControlPlane, node: PushRunner, code: int, state: tuple[str, str | None]
) -> None:
    task = begun(plane)
    node.ends(code)
    look(plane, node)
    assert plane.state(task)[0] == "running"
    plane.passes(61)
    assert plane.ends(task) == state
    assert plane.show(task)["exit_code"] == code
    # and the node is free for the next one
    begun(plane)
    assert len(node.runs) == 2


def test_a_status_that_says_running_keeps_the_lease(plane: ControlPlane, node: PushRunner) -> None:
    task = begun(plane)
    for _ in range(3):
        look(plane, node, 200)
    assert plane.state(task)[0] == "running"


def test_a_silent_node_loses_its_task_when_the_lease_ends(plane: ControlPlane, node: PushRunner) -> None:
    task = begun(plane)
    node.stop()
    plane.passes(301)
    assert plane.ends(task) == ("error", "lease_expired")


def test_a_lost_answer_is_asked_after_and_nothing_is_sent_again(plane: ControlPlane, node: PushRunner) -> None:
    node.drops_answers = True
    task = plane.task()
    plane.until(lambda: node.runs)
    look(plane, node)
    plane.until(lambda: plane.state(task)[0] == "running")
    node.ends(0)
    look(plane, node)
    plane.passes(61)
    assert plane.ends(task) == ("success", None)
    assert len(node.runs) == 1


def test_an_earlier_task_s_end_is_not_taken_for_this_one_s(plane: ControlPlane, node: PushRunner) -> None:
    first = begun(plane)
    node.ends(0)
    look(plane, node)
    plane.passes(61)
    assert plane.ends(first)[0] == "success"
    node.swallows = True
    second = plane.task()
    plane.until(lambda: node.asked.count("/run") == 2)
    look(plane, node)
    assert plane.state(second)[0] == "assigned"
    plane.passes(61)
    assert plane.ends(second) == ("error", "undeliverable")
    assert node.asked.count("/run") == 2


def test_a_node_started_anew_has_forgotten_its_task(plane: ControlPlane, node: PushRunner) -> None:
    task = begun(plane)
    node.container = None
    look(plane, node)
    plane.passes(61)
    assert plane.ends(task) == ("error", "runner_restarted")


def test_a_node_that_refuses_connections_leaves_the_task_to_another(plane: ControlPlane, node: PushRunner) -> None:
    begun(plane)
    node.ends(0)
    with listening(PushA(name="second", orchestrator_url=plane.url)) as second:
        second.api_key = plane.add_node("second", mode="push", api_endpoint=second.endpoint)
        node.stop()
        task = plane.task()
        plane.until(lambda: [body["task_id"] for body in second.runs] == [task])


def test_a_wrong_key_starts_nothing_and_the_task_waits(plane: ControlPlane, node: PushRunner) -> None:
    right, node.api_key = node.api_key, "another"
    task = plane.task()
    plane.until(lambda: node.refused == [401])
    plane.until(lambda: plane.state(task)[0] == "pending")
    assert "401" in next(event for event in plane.events(task) if event["kind"] == "push_refused")["message"]
    node.api_key = right
    plane.until(lambda: plane.state(task)[0] == "running")
    assert plane.show(task)["max_attempts"] == 1


def test_a_busy_node_is_not_sent_anything(plane: ControlPlane, node: PushRunner) -> None:
    node.run(node.api_key, {"task_id": "somebody's", "prompt": "work"})
    task = plane.task()
    plane.until(lambda: "/status" in node.asked)
    assert plane.state(task)[0] == "pending"
    node.ends(0)
    plane.until(lambda: plane.state(task)[0] == "running")


def test_cancelling_on_an_older_node_stays_unconfirmed(plane: ControlPlane, node: PushRunner) -> None:
    task = begun(plane)
    assert plane.call("DELETE", f"/tasks/{task}").status_code == 200
    plane.passes(61)
    assert plane.ends(task) == ("cancelled", "cancel_unconfirmed")


def test_an_address_on_this_machine_is_refused_unless_allowed(tmp_path: Path) -> None:
    with running(tmp_path / "strict") as plane, listening(PushA(orchestrator_url=plane.url)) as node:
        node.api_key = plane.add_node("push", mode="push", api_endpoint=node.endpoint)
        task = plane.task()
        plane.passes(40)
        plane.until(lambda: plane.state(task)[0] == "pending")
        assert node.asked == []
