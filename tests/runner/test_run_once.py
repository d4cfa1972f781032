"""`remote_runner run-once`: one assignment from a file, on a real podman."""

import json
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.podman


def hand(orchestrator: Any, folder: Path, prompt: str) -> tuple[str, Path]:
    """Place an assignment as Ansible does."""
    task_id = str(uuid.uuid4())
    assignment = {"task_id": task_id, "prompt": prompt, "orchestrator_url": orchestrator.url, "attempt": 1}
    file = folder / "handed.json"
    more = {"timeout_seconds": 60, "task_token": "qbt_token"}
    file.write_text(json.dumps({"api_key": orchestrator.key, "assignment": assignment | more}))
    return task_id, file


def test_it_runs_its_task_reports_by_itself_and_ends_with_it(orchestrator: Any, runner: Any, tmp_path: Path) -> None:
    task_id, file = hand(orchestrator, tmp_path, "echo done")
    runner.start("--assignment", str(file), mode="run-once")
    assert orchestrator.verdict(task_id).status == "success"
    assert runner.process.wait(20) == 0
    assert orchestrator.text(task_id) == "done\n"
    assert not file.exists(), "gone once it was journalled"
    assert orchestrator.polls == [], "it asks for nothing"
    assert orchestrator.registrations[-1].mode == "push"


def test_killed_it_is_started_again_without_its_file_and_takes_up_the_container(
    orchestrator: Any, runner: Any, tmp_path: Path, until: Any
) -> None:
    gate = runner.home / "go"
    task_id, file = hand(orchestrator, tmp_path, "until [ -e /workspace/Victoria/go ]; do sleep 0.1; done; echo once")
    runner.start("--assignment", str(file), mode="run-once")
    until(lambda: not file.exists() and runner.containers("--filter", "status=running"))
    runner.end(signal.SIGKILL)
    runner.start("--assignment", str(file), mode="run-once")
    gate.touch()
    assert orchestrator.verdict(task_id).status == "success"
    assert runner.process.wait(20) == 0
    assert (orchestrator.text(task_id), orchestrator.permits(task_id)) == ("once\n", 1)


def test_what_waits_for_a_slot_when_the_runner_ends_is_run_by_the_next(
    orchestrator: Any, runner: Any, tmp_path: Path, until: Any
) -> None:
    gate = runner.home / "go"
    first, file = hand(orchestrator, tmp_path, "until [ -e /workspace/Victoria/go ]; do sleep 0.1; done")
    runner.start("--assignment", str(file), mode="run-once")
    until(lambda: not file.exists() and runner.containers("--filter", "status=running"))
    runner.end(signal.SIGKILL)
    second, file = hand(orchestrator, tmp_path, "echo second")
    runner.start("--assignment", str(file), "--drain-seconds", "60", mode="run-once")
    until(lambda: runner.logged().count("event=serving") == 2, what="a runner with a full slot")
    runner.process.send_signal(signal.SIGTERM)
    until(lambda: "offer=closed" in runner.logged(), what="a refusal")
    assert runner.end(signal.SIGTERM) == 0, "the second signal is for haste"
    assert file.exists(), "it is in no journal"
    gate.touch()
    runner.start("--assignment", str(file), mode="run-once")
    assert orchestrator.verdict(first).status == "success"
    assert orchestrator.verdict(second).status == "success"
    assert runner.process.wait(20) == 0
