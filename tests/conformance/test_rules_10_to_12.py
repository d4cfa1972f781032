"""Rules 10 to 12: files under their own names, polls and presence."""

import threading

import httpx2
import pytest

from qb.contract.tasks import MAX_POLL_WAIT
from tests.conformance.control_plane import ControlPlane
from tests.conformance.generation_c import PullC
from tests.conformance.generation_ours import PullOurs
from tests.conformance.joining import PULLING, join
from tests.conformance.pull_runner import POLL_TIMEOUT, PullRunner

# rule 10: GET /files/{name} keeps the file's own name


@pytest.mark.parametrize("kind", PULLING)
def test_every_generation_fetches_its_files_by_their_own_names(plane: ControlPlane, kind: type[PullRunner]) -> None:
    wanted = {"report 2026 (final).csv": b"a,b\n", "Grüße & 100%.txt": b"hallo"}
    files = [plane.upload(name, content) for name, content in wanted.items()]
    runner = join(plane, kind)
    plane.task(files=files)
    runner.turn()
    assert runner.files == wanted


def test_one_name_leads_each_node_to_the_file_of_its_own_task(plane: ControlPlane) -> None:
    one, other = join(plane, PullC, "one"), join(plane, PullC, "other")
    for runner, content in ((one, b"1"), (other, b"2")):
        plane.task(files=[plane.upload("data.bin", content)], target_node_name=runner.name)
    one.turn()
    other.turn()
    assert (one.files, other.files) == ({"data.bin": b"1"}, {"data.bin": b"2"})


def test_a_file_is_there_for_the_live_task_of_the_callers_key_alone(plane: ControlPlane) -> None:
    holder, stranger = join(plane, PullC, "holder"), join(plane, PullC, "stranger")
    plane.task(files=[plane.upload("data.bin", b"1")], target_node_name="holder")
    holder.turn()
    assert stranger.call("GET", "/files/data.bin", timeout=60).status_code == 404
    assert holder.call("GET", "/files/data.bin", timeout=60).status_code == 200
    holder.container.agent.report("success")
    assert holder.call("GET", "/files/data.bin", timeout=60).status_code == 404


def test_a_download_renews_the_lease(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    task = plane.task(files=[plane.upload("data.bin", b"1")])
    runner.turn()
    for _ in range(3):
        plane.passes(200)
        assert runner.call("GET", "/files/data.bin", timeout=60).status_code == 200
    plane.until(lambda: plane.node("old")["status"] != "offline")
    assert plane.state(task) == ("running", None)


# rule 11: polls end before clients give up; silence makes a node offline


def test_a_poll_that_finds_nothing_is_answered_200_with_null(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    answer = runner.call("GET", "/tasks/pending", timeout=POLL_TIMEOUT)
    assert (answer.status_code, answer.content) == (200, b"null")


def test_no_poll_is_held_as_long_as_a_client_waits(plane: ControlPlane) -> None:
    assert MAX_POLL_WAIT < POLL_TIMEOUT
    runner = join(plane, PullOurs)
    answers: list[httpx2.Response] = []
    path = f"/tasks/pending?wait={MAX_POLL_WAIT:g}"
    poll = threading.Thread(target=lambda: answers.append(runner.call("GET", path, timeout=POLL_TIMEOUT)))
    poll.start()
    task = plane.task()
    poll.join(POLL_TIMEOUT)
    assert answers[0].json()["task_id"] == task, "a task that comes meanwhile ends the wait"


@pytest.mark.parametrize(("kind", "limit"), [(PullC, 180), (PullOurs, 45)])
def test_a_silent_node_is_offline_after_its_time(plane: ControlPlane, kind: type[PullRunner], limit: int) -> None:
    runner = join(plane, kind)
    runner.turn()
    plane.passes(limit - 1)
    assert plane.node("old")["status"] == "idle"
    plane.passes(2)
    plane.until(lambda: plane.node("old")["status"] == "offline")
    runner.turn()
    assert plane.node("old")["status"] == "idle"


def test_a_node_that_calls_seldom_is_offline_after_three_of_its_intervals(plane: ControlPlane) -> None:
    runner = join(plane, PullC)
    for _ in range(3):
        runner.turn()
        plane.passes(120)
    runner.turn()
    plane.passes(350)
    witness = join(plane, PullC, "witness")
    plane.passes(5)
    assert plane.node("old")["status"] == "idle"
    plane.passes(6)
    plane.until(lambda: plane.node("old")["status"] == "offline")
    assert witness.poll() is None
