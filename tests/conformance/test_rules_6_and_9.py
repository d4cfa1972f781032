"""Rules 6 and 9: whose verdict counts, and what is told twice or too late."""

import pytest

from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_b import PullB
from tests.conformance.generation_c import PullC
from tests.conformance.generation_d import PullD
from tests.conformance.generation_e import PullE
from tests.conformance.generation_ours import PullOurs
from tests.conformance.joining import join

# rule 6: verdicts


@pytest.mark.parametrize(("first", "code", "end"), [("success", 1, "success"), ("error", 0, "error")])
def test_of_ds_two_verdicts_the_first_wins(plane: ControlPlane, first: str, code: int, end: str) -> None:
    runner = join(plane, PullD)
    task = plane.task()
    runner.turn()
    runner.container.agent.report(first, message="so says the agent")
    runner.ends(code)
    assert plane.state(task)[0] == end
    assert plane.events(task)[-1]["applied"] is False, "the other one is kept"


def test_ds_runner_settles_it_where_the_reporter_says_nothing(plane: ControlPlane) -> None:
    runner = join(plane, PullD)
    task = plane.task()
    runner.turn()
    runner.ends(9)
    assert plane.state(task) == ("error", "exit_nonzero")
    assert runner.container.agent.report("error", message="late").status_code == 200


def test_the_same_end_told_again_is_a_duplicate(plane: ControlPlane) -> None:
    runner = join(plane, PullD)
    task = plane.task()
    runner.turn()
    agent = runner.container.agent
    assert agent.report("success", message="done").status_code == 200
    before = plane.events(task)
    assert agent.report("success", message="done").status_code == 200
    assert agent.report("success", message="in other words").status_code == 200
    assert (plane.events(task), plane.show(task)["result"]) == (before, "done")


def test_with_our_runner_the_end_waits_for_the_exit_and_joins_both(plane: ControlPlane) -> None:
    runner = join(plane, PullOurs)
    task = plane.task()
    runner.turn()
    assert runner.container.agent.report("success").status_code == 200
    assert plane.state(task) == ("running", None)
    runner.ends(1)
    assert plane.state(task) == ("error", "exit_nonzero")


# rule 9: duplicates, late reports, long messages


@pytest.mark.parametrize("kind", [PullB, PullC, PullD])
def test_a_repeated_report_of_progress_changes_nothing(plane: ControlPlane, kind: type[PullC]) -> None:
    runner = join(plane, kind)
    task = plane.task()
    runner.turn()
    agent = runner.container.agent
    assert agent.report("running", progress=20, message="reading").status_code == 200
    before = plane.events(task)
    assert agent.report("running", progress=20, message="reading").status_code == 200
    assert plane.events(task) == before
    agent.report("analyzing", progress=20, message="reading")
    assert plane.state(task) == ("analyzing", None)


def test_es_running_after_the_server_knew_it_changes_nothing(plane: ControlPlane) -> None:
    runner = join(plane, PullE)
    task = plane.task()
    runner.turn()
    before = plane.show(task)
    runner.on_start(runner.container)
    assert plane.show(task) == before


@pytest.mark.parametrize(("end", "late"), [("success", "error"), ("error", "success"), ("success", "running")])
def test_another_report_after_the_end_is_kept_and_answered_409(plane: ControlPlane, end: str, late: str) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    agent = runner.container.agent
    agent.report(end)
    answer = agent.report(late, message="too late")
    assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert answer.json()["detail"]
    last = plane.events(task)[-1]
    assert (last["message"], last["applied"], plane.state(task)[0]) == ("too late", False, end)
    assert agent.session({"id": "s1"}).status_code == 200, "logs are taken all the same"


def test_a_message_that_is_too_long_is_cut_and_not_refused(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task()
    runner.turn()
    assert runner.container.agent.report("error", message="x" * 500_000).status_code == 200
    message = plane.show(task)["error_message"]
    assert (len(message), message[-1]) == (10_000, "…")


def test_ds_second_verdict_on_an_attempt_that_is_tried_again_is_a_duplicate(plane: ControlPlane) -> None:
    runner = join(plane, PullD)
    task = plane.task(max_attempts=2, backoff_seconds=0)
    runner.turn()
    runner.container.agent.report("error", message="no luck")
    assert plane.state(task) == ("pending", None)
    before = plane.kinds(task)
    runner.ends(1)
    assert (plane.state(task), plane.kinds(task)) == (("pending", None), before)
    runner.turn()
    assert runner.started == [task, task]
