"""Each generation runs a task from its poll to its end."""

from typing import Any

from tests.conformance import generation_a, generation_b, generation_c, generation_d
from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_c import PullC
from tests.conformance.generation_e import PullE


def joined(plane: ControlPlane, kind: Any, name: str = "old", **more: Any) -> Any:
    """A runner of generations B to E that has registered."""
    runner = kind(plane.url, name=name, registration_token=plane.registration_token, **more)
    runner.start()
    return runner


def preset(plane: ControlPlane, name: str = "old", **more: Any) -> generation_a.PullA:
    """A runner of generation A with the key that an admin made for it."""
    runner = generation_a.PullA(plane.url, name=name, api_key=plane.add_node(name), **more)
    runner.start()
    return runner


def test_a_is_settled_by_its_keyless_reporter(keyless_plane: ControlPlane) -> None:
    plane = keyless_plane
    runner = preset(plane, image=generation_a.IMAGE)
    task = plane.task()
    runner.turn()
    assert plane.state(task) == ("running", None)
    assert runner.container.agent.report("running", progress=50, message="half").status_code == 200
    assert runner.container.agent.report("success", message="done").status_code == 200
    runner.ends(0)
    runner.turn()
    shown = plane.show(task)
    assert (shown["status"], shown["result"]) == ("success", "done")


def test_b_is_settled_by_its_reporter_with_the_nodes_key(plane: ControlPlane) -> None:
    runner = joined(plane, generation_b.PullB, image=generation_b.IMAGE)
    task = plane.task()
    runner.turn()
    assert runner.container.agent.report("error", message="no way").status_code == 200
    assert plane.state(task)[0] == "error"


def test_c_is_settled_by_its_reporter(plane: ControlPlane) -> None:
    runner = joined(plane, PullC, image=generation_c.IMAGE)
    task = plane.task()
    runner.turn()
    assert runner.container.agent.report("success", message="done").status_code == 200
    assert plane.state(task) == ("success", None)


def test_d_is_settled_by_whoever_speaks_first(plane: ControlPlane) -> None:
    runner = joined(plane, generation_d.PullD, image=generation_d.IMAGE)
    task = plane.task()
    runner.turn()
    assert runner.container.agent.report("success", message="all done").status_code == 200
    runner.ends(0)
    shown = plane.show(task)
    assert (shown["status"], shown["result"]) == ("success", "all done")


def test_e_is_settled_by_its_runner(plane: ControlPlane) -> None:
    runner = joined(plane, PullE)
    runner.session = {"id": "s1", "title": "work", "prompt_tokens": 10, "completion_tokens": 5, "cost": 0.1}
    task = plane.task()
    runner.turn()
    assert plane.state(task) == ("running", None)
    runner.ends(2)
    assert plane.state(task) == ("error", "exit_nonzero")
    assert plane.call("GET", f"/logs/{task}").json()[0]["id"] == "s1"
