"""A task on a real podman: what runs, what comes back, and what does not run at all."""

import hashlib
import json
import stat
import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.podman


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_task_gets_its_file_and_gives_back_output_artifacts_and_success(
    orchestrator: Any, runner: Any, until: Any
) -> None:
    orchestrator.files["données 1.csv"] = b"a,b\n1,2\n"
    runner.start("--slots", "2", "--workspace", "task", "--tag", "site=acme", "--capability", "gpu")
    script = (
        'cat "$TASK_FILES_DIR/données 1.csv"; echo oops >&2; mkdir $TASK_OUTPUT_DIR/sub; '
        "echo report > $TASK_OUTPUT_DIR/report.md; echo deep > $TASK_OUTPUT_DIR/sub/x.txt; "
        "ln -s /etc/passwd $TASK_OUTPUT_DIR/stolen; env"
    )
    more = {
        "files": ["données 1.csv"],
        "file_checksums": [sha(b"a,b\n1,2\n")],
        "agent_url": "http://host.containers.internal:1",
        "env": {"COLOUR": "blue", "NODE_API_KEY": "overridden"},
    }
    task_id = orchestrator.assign(script, **more)
    verdict = orchestrator.verdict(task_id)

    assert (verdict.status, verdict.exit_code, verdict.attempt) == ("success", 0, 1)
    text = orchestrator.text(task_id)
    assert text.startswith("a,b\n1,2\n")
    for line in (
        f"TASK_ID={task_id}",
        f"JOB_ID={task_id}",
        "NODE_API_KEY=qbt_token",
        "COLOUR=blue",
        "ORCHESTRATOR_URL=http://host.containers.internal:1",
        f"TASK_OUTPUT_DIR=/workspace/Victoria/tasks/{task_id[:8]}/out",
    ):
        assert line in text.splitlines()
    assert orchestrator.text(task_id, "stderr") == "oops\n"
    assert orchestrator.artifacts == {"report.md": b"report\n", "sub__x.txt": b"deep\n"}
    # everything of a task's goes out before its verdict
    assert orchestrator.order.index("status success") > max(
        position for position, kind in enumerate(orchestrator.order) if kind in ("output", "artifacts")
    )
    until(lambda: not runner.containers(), what="the container's removal")
    until(lambda: not (runner.home / "tasks" / task_id[:8]).exists(), what="the folder's removal")
    registered = orchestrator.registrations[0]
    assert (registered.wire, registered.slots, registered.tags) == (2, 2, {"site": "acme"})
    assert registered.capabilities == ["gpu"]
    assert registered.boot_id
    assert registered.arch
    assert stat.S_IMODE((runner.state / "node.json").stat().st_mode) == 0o600
    assert "qbn_first" not in runner.logged()
    assert "qbt_token" not in runner.logged()


def test_a_file_that_is_not_what_the_task_names_runs_nothing(orchestrator: Any, runner: Any) -> None:
    orchestrator.files["f"] = b"changed"
    runner.start()
    task_id = orchestrator.assign("echo ran", files=["f"], file_checksums=[sha(b"original")])
    verdict = orchestrator.verdict(task_id)
    assert (verdict.status, verdict.reason) == ("error", "checksum_mismatch")
    assert orchestrator.permits(task_id) == 0
    assert not orchestrator.output


def test_a_file_that_is_not_to_be_had_ends_the_task(orchestrator: Any, runner: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("echo ran", files=["gone"], file_checksums=[sha(b"")])
    assert orchestrator.verdict(task_id).reason == "file_unavailable"


def test_an_image_that_does_not_exist_fails_the_launch_with_podmans_words(orchestrator: Any, runner: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("echo ran", image="localhost:1/no/such:image")
    verdict = orchestrator.verdict(task_id, 60)
    assert verdict.reason == "launch_failed"
    assert "localhost:1" in verdict.message


def test_an_exit_code_is_reported(orchestrator: Any, runner: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("echo partial; exit 7")
    verdict = orchestrator.verdict(task_id)
    assert (verdict.reason, verdict.exit_code) == ("exit_nonzero", 7)
    assert orchestrator.text(task_id) == "partial\n"


def test_a_container_that_takes_too_long_is_stopped_by_podman(orchestrator: Any, runner: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("echo begun; sleep 60", timeout_seconds=1)
    verdict = orchestrator.verdict(task_id)
    assert (verdict.reason, verdict.exit_code == -1) == ("timeout", False), "-1 is how podman says that it has no code"
    assert orchestrator.text(task_id) == "begun\n"


def test_a_container_that_takes_too_much_memory_is_said_to(orchestrator: Any, runner: Any) -> None:
    runner.start()
    limits = {"memory_mb": 32, "cpus": 1, "pids": 64}
    task_id = orchestrator.assign(
        "x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo $x | cat > /dev/null", limits=limits
    )
    assert orchestrator.verdict(task_id).reason == "out_of_memory"


def test_a_cancelled_task_is_stopped_and_removed_before_it_is_reported(
    orchestrator: Any, runner: Any, until: Any
) -> None:
    runner.start()
    task_id = orchestrator.assign("echo begun; sleep 60")
    until(lambda: orchestrator.output, what="output")
    orchestrator.cancel.append({"task_id": task_id, "attempt": 1})
    assert orchestrator.verdict(task_id).reason == "cancelled_by_operator"
    assert not runner.containers()


def test_a_permit_whose_answer_is_lost_is_asked_for_again(orchestrator: Any, runner: Any) -> None:
    orchestrator.lose_permits = 2
    runner.start()
    task_id = orchestrator.assign("echo once")
    assert orchestrator.verdict(task_id).status == "success"
    assert orchestrator.permits(task_id) == 3
    assert orchestrator.text(task_id) == "once\n"


@pytest.mark.parametrize("status", [404, 409])
def test_without_a_permit_nothing_is_started(orchestrator: Any, runner: Any, until: Any, status: int) -> None:
    orchestrator.permit_status = status
    runner.start()
    refused = orchestrator.assign("echo ran")
    until(lambda: "dropped" in runner.logged(), what="the drop")
    orchestrator.permit_status = 200
    following = orchestrator.assign("echo next")
    assert orchestrator.verdict(following).status == "success"
    assert not orchestrator.verdicts(refused)
    assert (refused, 1) not in orchestrator.output


def test_an_assignment_delivered_twice_runs_once(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("echo once")
    orchestrator.verdict(task_id)
    orchestrator.assign("echo twice", task_id=task_id)
    following = orchestrator.assign("echo next")
    assert orchestrator.verdict(following).status == "success"
    assert orchestrator.text(task_id) == "once\n"
    assert len(orchestrator.verdicts(task_id)) == 1


def test_much_output_comes_whole_and_in_order(orchestrator: Any, runner: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("seq 1 40000; echo -n 'without an end: é'")
    assert orchestrator.verdict(task_id).status == "success"
    expected = "".join(f"{number}\n" for number in range(1, 40001)) + "without an end: é"
    assert orchestrator.text(task_id) == expected


def test_a_container_on_the_bridge_resolves_its_host(orchestrator: Any, runner: Any) -> None:
    del runner.options[-2:]
    runner.start()
    task_id = orchestrator.assign("cat /etc/hosts")
    assert orchestrator.verdict(task_id).status == "success"
    assert "host.containers.internal" in orchestrator.text(task_id)


def test_limits_and_labels_reach_podman(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("echo begun; sleep 30", limits={"memory_mb": 64, "pids": 20})
    until(lambda: orchestrator.output, what="output")
    command = ["podman", "inspect", *runner.containers()]
    found = json.loads(subprocess.run(command, env=runner.env, capture_output=True, check=True, timeout=60).stdout)
    assert found[0]["Name"] == f"victoria-{task_id[:8]}-1"
    assert found[0]["HostConfig"]["Memory"] == 64 << 20
    assert found[0]["HostConfig"]["AutoRemove"] is False
    assert found[0]["Config"]["Timeout"] == 60
    assert found[0]["Config"]["Labels"]["qb.task"] == task_id
