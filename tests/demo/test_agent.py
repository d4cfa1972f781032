"""The demo's agent as its container runs it: a program with arguments, folders and a status reporter."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import qb.demo

HOME = Path(qb.demo.__file__).parent
WEATHER = HOME / "data" / "seattle-weather.csv"
PROMPT = "Summarise the attached data."


def run(orchestrator: Any, tmp_path: Path, *, files: bool = True) -> subprocess.CompletedProcess[str]:
    (tmp_path / "files").mkdir(exist_ok=True)
    (tmp_path / "out").mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "ORCHESTRATOR_URL": orchestrator.url,
        "TASK_ID": "t1",
        "NODE_API_KEY": "qbt_k",
        "TASK_OUTPUT_DIR": str(tmp_path / "out"),
        "DEMO_PACE": "0",
    }
    if files:
        environ["TASK_FILES_DIR"] = str(tmp_path / "files")
    command = [sys.executable, str(HOME / "agent" / "agent.py"), "--accept-license", "--task", PROMPT]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def attach(tmp_path: Path, name: str, content: str | bytes) -> None:
    (tmp_path / "files").mkdir()
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / "files" / name).write_bytes(data)


def test_the_weather_becomes_a_report_and_a_chart_and_every_step_is_told(orchestrator: Any, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    shutil.copy(WEATHER, tmp_path / "files")
    done = run(orchestrator, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1,461 rows" in done.stdout
    report = (tmp_path / "out" / "report.md").read_text()
    assert PROMPT in report and "1,461 rows" in report
    for figure in ("35.6", "-7.1", "55.9", "2012", "2015"):
        assert figure in report
    (chart,) = (tmp_path / "out").glob("*.svg")
    assert ElementTree.parse(chart).getroot().tag.endswith("svg")  # noqa: S314 - our own drawing
    assert 'href="http' not in chart.read_text() and "src=" not in chart.read_text()
    statuses = [sent["status"] for sent in orchestrator.reports]
    assert statuses[0] == "running" and "analyzing" in statuses and statuses[-1] == "success"
    progress = [sent["progress"] for sent in orchestrator.reports if "progress" in sent]
    assert progress == sorted(progress) and len(progress) >= 5 and progress[-1] == 100
    assert all(sent["message"] for sent in orchestrator.reports)


def test_any_other_csv_gets_a_summary_of_its_numbers(orchestrator: Any, tmp_path: Path) -> None:
    attach(
        tmp_path,
        "sales.csv",
        "region,units,price\n" + "north,3,1.5,one too many\nsouth,NA,2.5\neast,,4\nwest\nnorth,5,nan\n",
    )
    done = run(orchestrator, tmp_path)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| units | 4.00 | 3 | 5 |" in report and "| price | 2.67 | 1.5 | 4 |" in report
    assert "north 2" in report
    assert orchestrator.reports[-1]["status"] == "success"


def test_a_csv_without_numbers_still_gets_a_report(orchestrator: Any, tmp_path: Path) -> None:
    attach(tmp_path, "names.csv", "name,colour\nash,red\nelm,blue\n")
    done = run(orchestrator, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "colour" in (tmp_path / "out" / "report.md").read_text()


def test_without_a_csv_the_agent_says_so_and_fails(orchestrator: Any, tmp_path: Path) -> None:
    done = run(orchestrator, tmp_path, files=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert orchestrator.reports[-1]["status"] == "error" and "no CSV" in orchestrator.reports[-1]["message"]


def test_a_file_that_is_no_table_is_reported_as_an_error(orchestrator: Any, tmp_path: Path) -> None:
    attach(tmp_path, "broken.csv", b"a,b\n\x00\xff\xfe," + b"x" * 200_000 + b"\n")
    done = run(orchestrator, tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert orchestrator.reports[-1]["status"] == "error"


def test_a_table_without_rows_is_reported_as_an_error(orchestrator: Any, tmp_path: Path) -> None:
    attach(tmp_path, "empty.csv", "a,b\n")
    assert run(orchestrator, tmp_path).returncode == 1
    assert "no rows" in orchestrator.reports[-1]["message"]


def test_the_agent_stays_until_its_verdict_has_got_through(orchestrator: Any, tmp_path: Path) -> None:
    attach(tmp_path, "sales.csv", "units\n3\n5\n")
    orchestrator.away = 5  # over the few seconds for which the reporter flushes at exit
    done = run(orchestrator, tmp_path)
    assert done.returncode == 0, done.stderr
    assert orchestrator.reports[-1]["status"] == "success"


def test_a_cancelled_task_stops_the_agent(orchestrator: Any, tmp_path: Path) -> None:
    attach(tmp_path, "sales.csv", "units\n3\n5\n")
    orchestrator.task["cancel_requested"] = True
    done = run(orchestrator, tmp_path)
    assert done.returncode == 1
    assert "cancelled this task" in done.stderr
    assert not (tmp_path / "out" / "report.md").exists()


def test_the_data_is_what_its_source_says() -> None:
    rows = WEATHER.read_text().splitlines()
    assert len(rows) - 1 == 1461
    assert "1,461 rows" in (WEATHER.parent / "SOURCE.md").read_text()
