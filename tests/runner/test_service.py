"""The runner as a service: --once, status, SIGTERM that drains, SIGHUP that takes the settings anew."""

import json
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from remote_runner.runner import main

pytestmark = pytest.mark.podman


def test_one_task_is_seen_through_and_status_tells_of_it(
    orchestrator: Any, runner: Any, until: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.start("--once")
    first, second = orchestrator.assign("echo once"), orchestrator.assign("echo never", task_id=str(uuid.uuid4()))
    assert orchestrator.verdict(first).status == "success"
    assert runner.process.wait(20) == 0
    assert orchestrator.verdicts(second) == []
    assert main(["status", "--state-dir", str(runner.state), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["running"], found["attempts"], found["waiting_reports"]) == ("n1", False, [], 0)


def test_sigterm_gives_what_runs_its_time_and_sighup_takes_the_settings_anew(
    orchestrator: Any, runner: Any, until: Any, tmp_path: Path
) -> None:
    settings = tmp_path / "runner.toml"
    settings.write_text('drain_seconds = 20\n[tags]\nsite = "old"\n')
    env_file = tmp_path / "task.env"
    env_file.touch()
    runner.options = [option for option in runner.options if option not in ("--drain-seconds", "0")]
    runner.start("--config", str(settings), "--env-file", str(env_file))
    until(lambda: orchestrator.polls, what="a poll")
    env_file.unlink()
    runner.process.send_signal(signal.SIGHUP)
    until(lambda: "not taken anew" in runner.logged(), what="a word on the file that has gone")
    env_file.touch()
    settings.write_text("slots = maybe\n")
    runner.process.send_signal(signal.SIGHUP)
    until(lambda: runner.logged().count("not taken anew") == 2, what="a word on the settings")
    settings.write_text('drain_seconds = 20\n[tags]\nsite = "new"\n')
    first = orchestrator.assign("sleep 4")
    until(lambda: orchestrator.permits(first), what="a start")
    runner.process.send_signal(signal.SIGHUP)
    until(lambda: orchestrator.registrations[-1].tags == {"site": "new"}, what="the new settings")
    assert orchestrator.verdict(first).status == "success"
    second = orchestrator.assign("sleep 3")
    until(lambda: orchestrator.permits(second), what="another start")
    assert runner.end(signal.SIGTERM) == 0
    assert orchestrator.verdicts(second)[0].status == "success"


def test_doctor_says_the_mend_of_what_fails(
    orchestrator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["doctor", "--state-dir", str(tmp_path / "state"), "--victoria-home", str(tmp_path / "home"), "--json"]
    assert main([*options, "--orchestrator-url", "http://127.0.0.1:1", "--container-runtime", "no-podman"]) == 1
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    assert {name for name, each in found.items() if not each["ok"]} == {"podman", "orchestrator", "identity"}
    assert all(each["mend"] for each in found.values() if not each["ok"])
    assert found["podman"]["mend"].startswith("install it")


@pytest.mark.parametrize(
    ("options", "ok"),
    [([], True), (["--network", "host"], False), (["--network", "host", "--metadata", "yes"], True)],
)
def test_doctor_tells_when_the_metadata_service_is_in_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], ok: bool
) -> None:
    base = ["doctor", "--state-dir", str(tmp_path / "state"), "--victoria-home", str(tmp_path / "home"), "--json"]
    main([*base, "--orchestrator-url", "http://127.0.0.1:1", *options])
    (found,) = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "metadata"]
    assert found["ok"] is ok
    assert bool(found["mend"]) is not ok
