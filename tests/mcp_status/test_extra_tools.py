"""Files, questions, figures and logs as an agent sends them: to a real control plane, and to one that is too old."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcp_status.asking import Asking
from mcp_status.extra_tools import ExtraTools
from mcp_status.reporter import Reporter
from mcp_status.server import build_server
from mcp_status.settings import Settings, crush_folders, read_settings
from mcp_status.tools import Tools
from qb.contract.questions import AnswerGiven, Question
from tests.fixtures_server import Server
from tests.mcp_status.begun import Begun, begun
from tests.mcp_status.crush_files import session, write

SOON = 10.0


@pytest.fixture
def task(shared_server: Server) -> Iterator[Begun]:
    with begun(shared_server) as task:
        yield task


@asynccontextmanager
async def agent_of(environ: dict[str, str], *, patience: float = SOON) -> AsyncIterator[Client]:
    settings = read_settings(environ)
    assert isinstance(settings, Settings)
    reporter = Reporter(settings, lambda: time.time_ns() // 1_000_000)
    try:
        tools = Tools(reporter, lambda: datetime.now(UTC))
        extras = ExtraTools(reporter, Asking(reporter, patience=patience))
        async with Client(build_server(tools, extras)) as client:
            yield client
    finally:
        reporter.close()


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)


async def open_question(task: Begun) -> Question:
    async with asyncio.timeout(SOON):
        while not (asked := await asyncio.to_thread(task.admin.dialogue.questions, task.id)):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.02)
    return asked[-1]


async def test_a_file_arrives_under_its_name_and_may_be_sent_anew(task: Begun, tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    async with agent_of(task.environ) as client:
        for text in ("first", "second one"):
            file.write_text(text)
            answer = await call(client, "attach_artifact", path=str(file))
    assert (answer["delivered"], answer["name"], answer["size"]) == (True, "report.md", 10)
    [kept] = task.admin.artifacts(task.id)
    with task.admin.get_artifact(task.id, kept.name) as body:
        assert b"".join(body) == b"second one"


@pytest.mark.parametrize("path", ["none.txt", ".", "/dev/null", "a\x00b"])
async def test_what_is_no_file_is_refused_with_the_reason(task: Begun, tmp_path: Path, path: str) -> None:
    async with agent_of(task.environ) as client:
        assert "file" in await refusal(client, "attach_artifact", path=str(tmp_path / path))
    assert task.admin.artifacts(task.id) == []


async def test_the_operators_answer_reaches_the_agent_that_waits(task: Begun) -> None:
    async with agent_of(task.environ) as client:
        asking = asyncio.create_task(call(client, "ask_operator", question="Go on?", options=["yes", "no"]))
        asked = await open_question(task)
        assert (asked.question, asked.options) == ("Go on?", ["yes", "no"])
        assert task.admin.task(task.id).waiting_until == asked.expires_at
        task.admin.dialogue.answer(task.id, asked.id, AnswerGiven(answer="not yet"))
        answer = await asking
    assert (answer["answered"], answer["answer"], answer["waiting"]) == (True, "not yet", False)
    assert task.admin.task(task.id).waiting_until is None


async def test_the_same_words_wait_on_and_after_the_answer_they_ask_anew(task: Begun) -> None:
    async with agent_of(task.environ, patience=0.0) as client:
        first = await call(client, "ask_operator", question="Go on?")
        assert first["waiting"] is True and "same words" in first["advice"] and first["remaining_seconds"] > 500
        assert (await call(client, "ask_operator", question="Go on?"))["question_id"] == first["question_id"]
        task.admin.dialogue.answer(task.id, first["question_id"], AnswerGiven(answer="yes"))
        assert (await call(client, "ask_operator", question="Go on?"))["answer"] == "yes"
        assert (await call(client, "ask_operator", question="Go on?"))["question_id"] != first["question_id"]


async def test_without_an_answer_in_time_the_agent_is_told_to_take_the_safer_way(task: Begun) -> None:
    async with agent_of(task.environ) as client:
        answer = await call(client, "ask_operator", question="Go on?", timeout=1)
    assert (answer["answered"], answer["waiting"]) == (False, False)
    assert "safer way" in answer["advice"]


async def test_an_agent_that_waits_is_told_of_a_cancellation(task: Begun) -> None:
    async with agent_of(task.environ) as client:
        asking = asyncio.create_task(call(client, "ask_operator", question="Go on?"))
        await open_question(task)
        task.admin.cancel_task(task.id)
        answer = await asking
    assert answer["cancel_requested"] is True and "stop now" in answer["advice"]


@pytest.mark.parametrize("arguments", [{"question": " "}, {"question": "x", "timeout": 0}, {"question": "x" * 2001}])
async def test_a_question_that_is_none_is_refused(task: Begun, arguments: dict[str, Any]) -> None:
    async with agent_of(task.environ) as client:
        await refusal(client, "ask_operator", **arguments)
    assert task.admin.dialogue.questions(task.id) == []


async def test_figures_are_logged_and_counted(task: Begun) -> None:
    async with agent_of(task.environ) as client:
        for value in (3, 1, 2.5):
            answer = await call(client, "log_metric", name="rows", value=value)
        assert "64 letters" in await refusal(client, "log_metric", name="a\nb", value=1)
    assert (answer["delivered"], answer["count"]) == (True, 3)
    [metric] = task.admin.dialogue.metrics(task.id)
    assert (metric.name, metric.value, metric.least, metric.most) == ("rows", 2.5, 1, 3)


@pytest.mark.parametrize("place", ["victoria", "here", "xdg"])
async def test_crushs_log_goes_with_the_verdict_and_on_demand(
    task: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"VICTORIA_HOME": str(tmp_path / "v"), "XDG_DATA_HOME": str(tmp_path / "x")}
    folder = crush_folders(places)[("victoria", "here", "xdg").index(place)]
    write(folder / "crush.db", [session("s", int(time.time()))], [("m", "user", "hello")])
    async with agent_of(task.environ | places) as client:
        sent = await call(client, "submit_crush_logs")
        assert (sent["delivered"], sent["sessions"], sent["tokens"], sent["cost"]) == (True, ["s"], 110, 0.25)
        assert "no Crush log" in (await call(client, "submit_crush_logs", session_id="none"))["advice"]
        assert (await call(client, "report_complete", submit_logs=False))["submitting_logs"] is False
        assert (await call(client, "report_complete"))["submitting_logs"] is True
    assert [log.id for log in task.admin.logs(task.id)] == ["s"]
    assert task.admin.task(task.id).cost == 0.25


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("ours", [True, False])
async def test_an_orchestrator_that_is_too_old_is_left_alone_politely(
    orchestrator: Any, tmp_path: Path, status: int, ours: bool
) -> None:
    orchestrator.missing = (status, {"detail": "Not Found"} | ({"code": "not_found"} if ours else {}))
    file = tmp_path / "a.txt"
    file.write_text("a")
    async with agent_of(orchestrator.environ()) as client:
        answers = [
            await call(client, "attach_artifact", path=str(file)),
            await call(client, "ask_operator", question="Go on?"),
            await call(client, "log_metric", name="rows", value=1),
        ]
        assert (await call(client, "report_status", status="running"))["delivered"] is True
    for answer in answers:
        assert (answer["configured"], answer["supported"]) == (True, False)
        assert "does not support" in answer["advice"]


async def test_a_task_that_is_not_its_own_is_no_lack_of_support(task: Begun) -> None:
    async with agent_of(task.environ | {"JOB_ID": "another"}) as client:
        answer = await call(client, "log_metric", name="rows", value=1)
    assert (answer["supported"], answer["delivered"]) == (True, False)
    assert "no task another" in answer["advice"]


async def test_with_the_orchestrator_away_figures_and_files_are_kept_for_later(
    orchestrator: Any, tmp_path: Path
) -> None:
    orchestrator.hold = threading.Event()
    async with agent_of(orchestrator.environ()) as client:
        began = time.monotonic()
        answer = await call(client, "log_metric", name="rows", value=1)
        assert answer["queued"] is True and time.monotonic() - began < SOON
        orchestrator.hold.set()
