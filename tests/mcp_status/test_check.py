import subprocess
import sys
from pathlib import Path
from typing import Any

from mcp_status.check import run_check
from mcp_status.settings import read_settings


def check(environ: dict[str, str]) -> tuple[int, str]:
    said: list[str] = []
    return run_check(read_settings(environ), said.append), "\n".join(said)


def test_a_working_reporter_passes_and_the_task_is_left_alone(orchestrator: Any) -> None:
    code, text = check(orchestrator.environ())
    assert code == 0, text
    assert "All good" in text and "qbt_right" not in text
    assert {method for method, _ in orchestrator.requests} == {"GET"}


def test_each_missing_setting_is_a_failure_with_its_mend() -> None:
    code, text = check({"ORCHESTRATOR_URL": "http://q:1"})
    assert code == 1
    assert text.count("FAIL") == 2 and text.count("mend:") == 2
    assert "NODE_API_KEY is not set" in text and "TASK_ID" in text


def test_nothing_listening_names_the_address_and_the_mend() -> None:
    code, text = check({"ORCHESTRATOR_URL": "http://127.0.0.1:1", "TASK_ID": "t", "NODE_API_KEY": "k"})
    assert code == 1
    assert "FAIL  orchestrator: http://127.0.0.1:1 does not answer" in text
    assert "host.containers.internal" in text


def test_a_wrong_key_is_told_from_a_dead_orchestrator(orchestrator: Any) -> None:
    code, text = check(orchestrator.environ() | {"NODE_API_KEY": "qbt_wrong"})
    assert code == 1
    assert "ok    orchestrator" in text and "FAIL  key: the orchestrator answered 401" in text


def test_a_key_of_another_task_is_a_failure(orchestrator: Any) -> None:
    code, text = check(orchestrator.environ() | {"TASK_ID": "another"})
    assert code == 1
    assert "belong to different tasks" in text


def test_a_nodes_key_is_known_though_it_may_not_read(orchestrator: Any) -> None:
    orchestrator.shown = orchestrator.problem(403, "forbidden", "not for nodes")
    assert check(orchestrator.environ())[0] == 0


def test_an_ended_task_is_a_failure(orchestrator: Any) -> None:
    orchestrator.task["status"] = "success"
    code, text = check(orchestrator.environ())
    assert code == 1 and "has ended (success)" in text


def test_the_command_reads_an_env_file(orchestrator: Any, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("".join(f"{name}={value}\n" for name, value in orchestrator.environ().items()))
    done = subprocess.run(
        [sys.executable, "-m", "mcp_status", "--check", "--env-file", str(file)],
        env={"TASK_ID": "of the environment"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert orchestrator.task["id"] in done.stdout


def test_an_env_file_that_is_not_there_is_one_line_and_a_hint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mcp_status", "--env-file", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2 and "No such file" in done.stderr
