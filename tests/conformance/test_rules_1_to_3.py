"""Rules 1 to 3 of the wire: two names for a task, reporters without a key, random node ids."""

import uuid

import pytest

from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_a import PullA
from tests.conformance.generation_c import PullC
from tests.conformance.joining import join

# rule 1: job_id and task_id mean the same


@pytest.mark.parametrize("names", [("job_id",), ("task_id",), ("job_id", "task_id")])
def test_a_report_may_name_its_task_either_way(plane: ControlPlane, names: tuple[str, ...]) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    named = dict.fromkeys(names, task)
    assert plane.call("POST", "/status", {**named, "status": "running"}, key=runner.api_key).status_code == 200
    session = {**named, "session": {"id": "s1"}}
    assert plane.call("POST", "/logs", session, key=runner.api_key).status_code == 200


def test_a_body_that_names_two_tasks_is_refused(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    two = {"task_id": task, "job_id": str(uuid.uuid4())}
    assert plane.call("POST", "/status", {**two, "status": "success"}, key=runner.api_key).status_code == 422
    assert plane.call("POST", "/logs", {**two, "session": {"id": "s"}}, key=runner.api_key).status_code == 422
    assert plane.state(task) == ("running", None)


# rule 2: keyless reports only behind a setting


def test_a_report_without_a_key_is_refused_as_the_server_comes(plane: ControlPlane) -> None:
    runner = join(plane, PullA)
    task = plane.task()
    runner.turn()
    agent = runner.container.agent
    assert agent.report("success").status_code == 401
    assert agent.session({"id": "s1"}).status_code == 401
    assert plane.state(task) == ("running", None)


def test_a_report_without_a_key_is_taken_where_the_setting_allows_it(keyless_plane: ControlPlane) -> None:
    runner = join(keyless_plane, PullA)
    task = keyless_plane.task()
    runner.turn()
    agent = runner.container.agent
    assert agent.session({"id": "s1"}).status_code == 200
    assert agent.report("success").status_code == 200
    assert keyless_plane.state(task) == ("success", None)


def test_without_a_key_nothing_but_reports_on_handed_out_tasks_is_taken(keyless_plane: ControlPlane) -> None:
    plane = keyless_plane
    waiting = plane.task()
    report = {"job_id": waiting, "status": "success"}
    assert plane.call("POST", "/status", report, key="").status_code == 404
    assert plane.call("POST", "/status", {**report, "job_id": str(uuid.uuid4())}, key="").status_code == 404
    assert plane.call("POST", "/status", report, key="qbn_wrong").status_code == 401
    assert plane.call("GET", "/tasks/pending", key="").status_code == 401
    assert plane.call("POST", "/nodes/heartbeat", {"status": "idle"}, key="").status_code == 401
    assert plane.call("GET", f"/tasks/{waiting}", key="").status_code == 401
    assert plane.state(waiting) == ("pending", None)


# rule 3: the node is who the key says


@pytest.mark.parametrize("node_id", ["5b0f6c1e-33f5-4a0e-9d55-0d6a4c0a7a11", "not even an id", None])
def test_a_wrong_node_id_in_a_heartbeat_is_no_error(plane: ControlPlane, node_id: str | None) -> None:
    runner = join(plane, PullC)
    body = {"node_id": node_id, "status": "busy", "current_task_id": None}
    answer = plane.call("POST", "/nodes/heartbeat", body, key=runner.api_key)
    assert (answer.status_code, answer.json()["id"]) == (200, runner.node_id)
    assert plane.node("old")["status"] == "busy"


def test_a_heartbeat_in_anothers_name_is_the_callers_own(plane: ControlPlane) -> None:
    one, other = join(plane, PullC, "one"), join(plane, PullC, "other")
    plane.call("POST", "/nodes/heartbeat", {"node_id": other.node_id, "status": "busy"}, key=one.api_key)
    assert (plane.node("one")["status"], plane.node("other")["status"]) == ("busy", "idle")
