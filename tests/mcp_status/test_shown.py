"""A log of Crush, from the file to the people: by reporter and runner to `qb task transcript` and the task's page."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from mcp_status.apart import send_logs_apart
from mcp_status.crush_log import NoTranscript, Wanted
from mcp_status.settings import Settings
from qb.contract.logs import SessionUpload
from remote_runner.transcript import read_transcript
from remote_runner.workspace import Workspace
from tests.dashboard.conftest import dashboard_over as dashboard_over
from tests.fixtures_server import QB, Server
from tests.mcp_status.begun import Begun, begun
from tests.mcp_status.crush_files import EVERY_PART, session, write

Over = Callable[[Path], AbstractContextManager[Any]]


@pytest.fixture
def task(shared_server: Server) -> Iterator[Begun]:
    with begun(shared_server) as task:
        yield task


def by_both(task: Begun, home: Path, began: int) -> None:
    """Send the log as the agent's reporter does, then as the node's runner does."""
    environ = task.environ
    settings = Settings(
        environ["ORCHESTRATOR_URL"], environ["JOB_ID"], environ["NODE_API_KEY"], crush_folders=(home / ".crush",)
    )
    send_logs_apart(settings, Wanted(began), 120.0)
    scratch = home.parent / "scratch"
    scratch.mkdir()
    for each in read_transcript(Workspace(home), began, scratch):
        task.node.report_session(SessionUpload(task_id=task.id, attempt=1, session=each))


def transcript(server: Server, task_id: str, *more: str) -> str:
    env = os.environ | {"QB_URL": server.url, "QB_API_KEY": server.admin_key}
    command = [str(QB), "task", "transcript", task_id, *more]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sessions_parts_cost_and_tokens_are_shown_as_crush_has_them(
    shared_server: Server, task: Begun, dashboard_over: Over, tmp_path: Path
) -> None:
    began = int(time.time()) + 1
    sessions = [
        session("main", began, tokens=1000, cost=2.0),
        session("child", began + 1, parent="main", tokens=200, cost=0.5),
        session("other", began + 2, tokens=10, cost=1.0),
    ]
    long = {"type": "tool_result", "data": {"tool_call_id": "c1", "content": "row\n" * 20_000, "is_error": False}}
    messages = [("m1", "user", EVERY_PART[:1]), ("m2", "assistant", EVERY_PART), ("m3", "tool", [long])]
    write(tmp_path / "home" / ".crush" / "crush.db", sessions, messages)
    by_both(task, tmp_path / "home", began)
    shown = transcript(shared_server, task.id, "--full")
    for words in ("title of main", "title of child", "title of other", "Reading sales.csv.", "The header comes first."):
        assert words in shown, words
    for facts in ("1,100 tokens, $2.00", "220 tokens, $0.50", "11 tokens, $1.00", "a sub-agent's"):
        assert facts in shown, facts
    assert 'view {"path": "sales.csv"}' in shown and "id,total" in shown and "[binary]" in shown
    with dashboard_over(shared_server.data_dir) as dashboard:
        page = dashboard.page(f"/task/{task.id}").text
    for words in ("title of main", "title of child", "a sub-agent's", "Reading sales.csv.", "The header comes first."):
        assert words in page, words
    assert re.search(r"<dt>Tokens</dt><dd>1,331 .*3\.0000 USD", page)
    assert 'class="tool_result"' in page and "tool_call_id" not in page, "a long part is shortened, not taken for text"


@pytest.mark.parametrize("harm", ["truncated", "200 MB"])
def test_what_is_left_of_a_damaged_or_huge_log_is_shown_with_a_note(
    shared_server: Server, task: Begun, dashboard_over: Over, tmp_path: Path, harm: str
) -> None:
    began = int(time.time()) + 1
    size, count = (3000, 500) if harm == "truncated" else (1 << 20, 200)
    messages = ((f"m{number}", "assistant", f"[{number}] " + "x" * size) for number in range(count))
    log = write(tmp_path / "home" / ".crush" / "crush.db", [session("s", began)], messages)
    if harm == "truncated":
        os.truncate(log, log.stat().st_size * 3 // 4)
    else:
        assert log.stat().st_size > 200 << 20
    note = "the log cannot be read" if harm == "truncated" else "191 oldest messages are left out"
    by_both(task, tmp_path / "home", began)
    assert note in transcript(shared_server, task.id)
    with dashboard_over(shared_server.data_dir) as dashboard:
        page = dashboard.page(f"/task/{task.id}").text
    assert note in page
    assert re.search(r"<dt>Tokens</dt><dd>110 .*0\.2500 USD", page)


@pytest.mark.parametrize("harm", ["corrupt", "symlink"])
def test_what_is_no_log_is_shown_as_none(
    shared_server: Server, task: Begun, dashboard_over: Over, tmp_path: Path, harm: str
) -> None:
    began = int(time.time()) + 1
    log = tmp_path / "home" / ".crush" / "crush.db"
    if harm == "corrupt":
        log.parent.mkdir(parents=True)
        log.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    else:
        real = write(tmp_path / "elsewhere" / "crush.db", [session("s", began)])
        log.parent.mkdir(parents=True)
        log.symlink_to(real)
    with pytest.raises(NoTranscript):
        by_both(task, tmp_path / "home", began)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert read_transcript(Workspace(tmp_path / "home"), began, scratch) == []
    assert transcript(shared_server, task.id) == ""
    with dashboard_over(shared_server.data_dir) as dashboard:
        assert "session has not come back" in dashboard.page(f"/task/{task.id}").text
