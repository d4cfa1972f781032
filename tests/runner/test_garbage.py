"""Answers that are none, and assignments that cannot be: refused within memory bounds, told once, reported."""

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.podman
HALF = b'{"task_id": "5b3c46b7-c859-4c65-915e-a8dc1e266a07", "prompt": "wo'
ANSWERS = {"html": b"<html>log in to the hotel's network</html>", "half": HALF, "huge": b'"' + b"a" * (200 << 20)}


def peak_mib(pid: int) -> float:
    """The most memory that the process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_server_that_answers_garbage_is_told_once_and_costs_no_memory(
    kind: str, orchestrator: Any, runner: Any, until: Any
) -> None:
    runner.start()
    until(lambda: orchestrator.polls, what="a poll")
    before = peak_mib(runner.process.pid)
    orchestrator.garbage = ANSWERS[kind]
    until(lambda: "cannot ask for tasks" in runner.logged(), what="a word on it")
    seen = orchestrator.calls.count("GET /tasks/pending")
    until(lambda: orchestrator.calls.count("GET /tasks/pending") > seen + 2, what="more tries")
    assert peak_mib(runner.process.pid) < before + 30
    orchestrator.garbage = None
    assert orchestrator.verdict(orchestrator.assign("echo well")).status == "success"
    assert runner.logged().count("cannot ask for tasks") == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"files": ["../../etc/cron.d/x"]}, "plain file name"),
        ({"image": "two words"}, "no image reference"),
        ({"env": {"A=B": "c"}}, "cannot be set"),
        ({"task_id": "no-uuid-at-all"}, "no UUID"),
    ],
)
def test_an_assignment_that_cannot_be_is_reported_and_runs_nothing(
    more: dict[str, Any], said: str, orchestrator: Any, runner: Any
) -> None:
    runner.start()
    verdict = orchestrator.verdict(orchestrator.assign("echo ran", **more))
    assert (verdict.status, verdict.reason) == ("error", "refused_by_node")
    assert said in verdict.message
    assert not orchestrator.output
    assert runner.containers() == []
