"""The process that sends Crush's log: what it says reaches the reporter, and it never outlives it."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mcp_status import apart
from mcp_status.apart import COMMAND, send_logs_apart
from mcp_status.crush_log import NoTranscript, Wanted
from mcp_status.settings import Settings
from qb.client.errors import ClientError, Refused, Unreachable
from tests.mcp_status.crush_files import session, write
from tests.mcp_status.test_stdio import ANSWER_TIMEOUT

EVERYTHING = Wanted(0.0)


@pytest.fixture
def settings(orchestrator: Any, tmp_path: Path) -> Settings:
    write(tmp_path / ".crush" / "crush.db", [session("s", 1_700_000_000)], [("m", "user", "hello")])
    return Settings(orchestrator.url, orchestrator.task["id"], orchestrator.key, crush_folders=(tmp_path / ".crush",))


def test_a_refusal_comes_through_whole(orchestrator: Any, settings: Settings) -> None:
    orchestrator.missing = orchestrator.problem(404, "not_found", "no such route")
    with pytest.raises(Refused, match="no such route") as refused:
        send_logs_apart(settings, EVERYTHING, 30.0)
    assert (refused.value.status, refused.value.code, refused.value.transient) == (404, "not_found", False)


def test_no_log_is_told_with_where_it_was_looked_for(settings: Settings) -> None:
    with pytest.raises(NoTranscript, match="its newest are s"):
        send_logs_apart(settings, Wanted(0.0, "another"), 30.0)


def test_an_orchestrator_that_does_not_answer_is_worth_another_try(orchestrator: Any, settings: Settings) -> None:
    orchestrator.hold = threading.Event()
    with pytest.raises(Unreachable):
        send_logs_apart(settings, EVERYTHING, 1.0)


def test_one_that_hangs_is_killed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "COMMAND", ("sleep", "3600"))
    monkeypatch.setattr(apart, "MARGIN", 0.1)
    with pytest.raises(Unreachable, match="too long"):
        send_logs_apart(settings, EVERYTHING, 0.1)


def test_one_that_dies_is_not_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "COMMAND", (sys.executable, "-c", "input(); raise SystemExit(3)"))
    with pytest.raises(ClientError, match="ended with 3") as error:
        send_logs_apart(settings, EVERYTHING, 30.0)
    assert type(error.value) is ClientError


def test_it_ends_with_the_reporter(orchestrator: Any, settings: Settings) -> None:
    orchestrator.hold = threading.Event()
    request = {
        "settings": [settings.url, settings.task_id, settings.api_key, None],
        "folders": [str(folder) for folder in settings.crush_folders],
        "wanted": [0.0, None],
        "seconds": 3600.0,
    }
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.close()
        assert process.wait(ANSWER_TIMEOUT) == 1
        assert process.stdout.read() == b""
