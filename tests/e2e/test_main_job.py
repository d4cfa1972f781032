"""The main job: a task runs in a podman container on a node, reports back, and survives what happens on the way."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qb.client import QbClient, Unreachable
from qb.contract.states import Reason, Stream, TaskStatus
from qb.contract.tasks import Task
from tests.e2e.agent import REPORT, Node, wait_until

pytestmark = [pytest.mark.podman]

Run = Callable[..., Task]
Ended = Callable[[Task], Task]


def text(client: QbClient, task: Task) -> str:
    """What the container printed on its standard output."""
    lines = client.task_output(task.id, limit=5000)
    return "".join(line.text for line in lines if line.stream is Stream.STDOUT)


def test_a_task_with_a_file_runs_reports_and_leaves_artifacts(
    client: QbClient, run: Run, ended: Ended, tmp_path: Path
) -> None:
    source = tmp_path / "numbers.csv"
    source.write_text("a,b\n1,2\n")
    uploaded = client.upload(source)
    script = (
        REPORT
        + """
        report '"status": "running", "progress": 50, "message": "halfway"'
        cat "$TASK_FILES_DIR/numbers.csv"; echo to stderr >&2
        echo done > "$TASK_OUTPUT_DIR/result.txt"
        report '"status": "success", "message": "all done"'
        """
    )
    task = ended(run(script, files=[uploaded.filename]))
    assert (task.status, task.reason, task.exit_code) == (TaskStatus.SUCCESS, None, 0)
    assert (task.agent_status, task.result, task.progress) == ("success", "all done", 100)
    assert "a,b\n1,2\n" in text(client, task)
    assert {line.stream.value for line in client.task_output(task.id)} == {"stdout", "stderr"}
    with client.get_artifact(task.id, "result.txt") as chunks:
        assert b"".join(chunks) == b"done\n"
    events = [(event.source.value, event.kind, event.progress) for event in client.task_events(task.id)]
    assert ("agent", "reported_running", 50) in events
    assert events[-1][1] == "succeeded"


def test_killing_the_control_plane_during_a_task_loses_nothing(
    server: Any, node: Node, client: QbClient, run: Run, ended: Ended
) -> None:
    script = (
        REPORT
        + """
        for step in 1 2 3 4 5 6 7 8; do
            echo "line $step"
            insist "\\"status\\": \\"running\\", \\"progress\\": ${step}0"
            [ $step != 2 ] || until [ -e $TASK_OUTPUT_DIR/go ]; do sleep 0.1; done
        done
        insist '"status": "success", "message": "through it all"'
        """
    )
    task = run(script)

    def advanced() -> bool:
        now = client.task(task.id)
        assert not now.status.terminal, f"it ended too soon: {now.reason}, {now.error_message}"
        return now.progress == 20

    wait_until(advanced, "the task's progress")
    server.kill()
    (node.folder / "home" / "tasks" / task.id[:8] / "out" / "go").touch()
    server.start()
    done = ended(task)
    assert (done.status, done.exit_code, done.attempt) == (TaskStatus.SUCCESS, 0, 1)
    with server.client() as again:
        assert text(again, done) == "".join(f"line {step}\n" for step in range(1, 9))
        events = again.task_events(task.id)
    kinds = [event.kind for event in events]
    assert kinds.count("claimed") == 1
    assert kinds.count("succeeded") == 1
    reported = [event.progress for event in events if event.source == "agent" and event.progress]
    assert sorted(set(reported)) == [10, 20, 30, 40, 50, 60, 70, 80], "every report of the agent is there"
    wait_until(lambda: node.containers(task.id) == [], "the removal of its one container")


def test_killing_the_runner_during_a_task_starts_no_second_container(
    node: Node, client: QbClient, run: Run, ended: Ended
) -> None:
    step = "until [ -e $TASK_OUTPUT_DIR/{0} ]; do sleep 0.1; done; echo {0}; "
    task = run("echo begun; " + step.format("on") + step.format("end"))
    out = node.folder / "home" / "tasks" / task.id[:8] / "out"
    wait_until(lambda: text(client, task) == "begun\n", "the first line")
    first = node.containers(task.id)
    node.end(signal.SIGKILL)
    (out / "on").touch()
    node.start()
    wait_until(lambda: text(client, task) == "begun\non\n", "output after the restart")
    assert node.containers(task.id) == first
    (out / "end").touch()
    done = ended(task)
    assert (done.status, done.attempt) == (TaskStatus.SUCCESS, 1)
    assert text(client, done) == "begun\non\nend\n"


@pytest.mark.parametrize(
    ("script", "options", "reason"),
    [
        ("exit 3", {}, Reason.EXIT_NONZERO),
        ("sleep 60", {"timeout_seconds": 1}, Reason.TIMEOUT),
        (REPORT + """report '"status": "error", "message": "cannot"'""", {}, Reason.AGENT_ERROR),
        (REPORT + """report '"status": "success", "message": "a lie"'; exit 1""", {}, Reason.EXIT_NONZERO),
        ("true", {"image": "localhost/no-such-image:1"}, Reason.LAUNCH_FAILED),
    ],
    ids=["exits non-zero", "runs past its time", "says that it failed", "lies", "has no image"],
)
def test_each_kind_of_failure_ends_with_its_own_reason(
    run: Run, ended: Ended, script: str, options: dict[str, Any], reason: Reason
) -> None:
    task = ended(run(script, **options))
    assert (task.status, task.reason) == (TaskStatus.ERROR, reason)
    assert task.error_message


def test_a_cancelled_task_ends_when_its_container_is_gone(node: Node, client: QbClient, run: Run, ended: Ended) -> None:
    task = run("echo up; sleep 120")
    wait_until(lambda: "up" in text(client, task), "the container's start")
    assert client.cancel_task(task.id).cancel_requested
    done = ended(task)
    assert (done.status, done.reason) == (TaskStatus.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
    wait_until(lambda: node.containers(task.id) == [], "the container's removal")


def test_the_node_key_never_enters_a_container(client: QbClient, run: Run, ended: Ended) -> None:
    done = ended(run("env"))
    printed = text(client, done)
    assert "NODE_API_KEY=qbt_" in printed
    assert "qbn_" not in printed


def test_a_stream_follows_a_task_to_its_end(client: QbClient, run: Run) -> None:
    task = run("for step in 1 2 3; do echo line $step; sleep 0.2; done")
    assert "".join(line.text for line in client.follow_output(task.id)) == "line 1\nline 2\nline 3\n"
    assert [event.kind for event in client.follow_events(task.id)][-1] == "succeeded"


def test_no_server_is_said_as_such(server: Any) -> None:
    with server.client() as client:
        server.kill()
        with pytest.raises(Unreachable):
            client.version()
