"""Each generation runs a task from its poll to its end, and is known for what it is by what it sent."""

from typing import Any

import pytest

from tests.conformance import generation_b
from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_a import PullA
from tests.conformance.generation_b import PullB, PushB
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_e import PullE
from tests.conformance.joining import join, known
from tests.conformance.push_runner import listening


def test_a_is_settled_by_its_keyless_reporter(keyless_plane: ControlPlane) -> None:
    plane = keyless_plane
    runner = join(plane, PullA)
    task = plane.task()
    runner.turn()
    assert plane.state(task) == ("running", None)
    assert runner.container.agent.report("running", progress=50, message="half").status_code == 200
    assert runner.container.agent.report("success", message="done").status_code == 200
    runner.ends(0)
    runner.turn()
    shown = plane.show(task)
    assert (shown["status"], shown["result"], shown["progress"]) == ("success", "done", 100)


@pytest.mark.parametrize("kind", [PullB, PullC])
@pytest.mark.parametrize(("said", "end"), [("success", ("success", None)), ("error", ("error", "agent_error"))])
def test_b_and_c_are_settled_by_the_reporter_with_the_nodes_key(
    plane: ControlPlane, kind: Any, said: str, end: tuple[str, str | None]
) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn()
    assert runner.container.agent.report(said, message="so it is").status_code == 200
    assert plane.state(task) == end


def test_d_is_settled_by_its_reporter_or_its_runner(plane: ControlPlane) -> None:
    runner = join(plane, PullD)
    task = plane.task()
    runner.turn()
    assert runner.container.agent.report("success", message="all done").status_code == 200
    runner.ends(0)
    shown = plane.show(task)
    assert (shown["status"], shown["result"]) == ("success", "all done")
    silent = plane.task()
    runner.turn()
    runner.ends(4)
    assert plane.state(silent) == ("error", "exit_nonzero")


def test_e_is_settled_by_its_runner_after_the_session(plane: ControlPlane) -> None:
    runner = join(plane, PullE)
    runner.session = {"id": "s1", "title": "work", "prompt_tokens": 10, "completion_tokens": 5, "cost": 0.1}
    task = plane.task()
    runner.turn()
    assert plane.state(task) == ("running", None)
    runner.ends(2)
    assert plane.state(task) == ("error", "exit_nonzero")
    assert plane.call("GET", f"/logs/{task}").json()[0]["id"] == "s1"


@pytest.mark.parametrize(("kind", "generation"), [(PullA, "A"), (PullB, "B"), (PullC, "C"), (PullD, "D"), (PullE, "E")])
def test_a_node_is_known_by_what_it_sends(keyless_plane: ControlPlane, kind: Any, generation: str) -> None:
    known(keyless_plane, kind)
    assert keyless_plane.node("old")["generation"] == generation


def test_a_node_that_has_only_registered_is_not_told_apart_yet(plane: ControlPlane) -> None:
    join(plane, PullD)
    assert plane.node("old")["generation"] == "old"


def test_until_it_shows_more_a_node_is_taken_for_the_one_that_promises_least(plane: ControlPlane) -> None:
    join(plane, PullE).turn()
    assert plane.node("old")["generation"] == "C"


def test_what_was_learnt_of_a_node_outlives_its_registering_anew(plane: ControlPlane) -> None:
    runner = known(plane, PullD)
    runner.start()
    assert plane.node("old")["generation"] == "D"


def test_a_node_that_goes_back_to_an_older_client_is_known_again(plane: ControlPlane) -> None:
    known(plane, PullE)
    join(plane, PullB).turn()
    assert plane.node("old")["generation"] == "B"


def test_an_operator_may_say_what_a_node_runs(plane: ControlPlane) -> None:
    plane.add_node("old", generation="D")
    join(plane, PullD)
    assert plane.node("old")["generation"] == "D"


def test_a_push_node_that_registers_is_generation_b(plane: ControlPlane) -> None:
    with listening(PushB(name="cloud")) as runner:
        assert runner.register(plane.url, plane.registration_token).status_code == 403, "a destination needs leave"
        assert runner.register(plane.url, plane.push_token()).status_code == 200
        node = plane.node("cloud")
    assert (node["generation"], node["mode"], node["api_endpoint"]) == ("B", "push", runner.endpoint)


def test_a_container_without_its_own_variable_has_no_reporter(plane: ControlPlane) -> None:
    runner = join(plane, PullD, image=generation_b.IMAGE)
    plane.task()
    runner.turn()
    assert runner.container.agent is None
