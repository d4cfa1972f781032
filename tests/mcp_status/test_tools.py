import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from mcp import Client

from mcp_status.asking import Asking
from mcp_status.extra_tools import ExtraTools
from mcp_status.reporter import Reporter
from mcp_status.server import build_server
from mcp_status.settings import Settings, Unconfigured, read_settings
from mcp_status.tools import Tools
from tests.mcp_status.stopwatch import Stopwatch

PATIENCE = 10.0
NOW = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)


@asynccontextmanager
async def agent_of(environ: dict[str, str], now_ms: int = 1000) -> AsyncIterator[Client]:
    settings = read_settings(environ)
    reporter = Reporter(settings, lambda: now_ms) if isinstance(settings, Settings) else settings
    asking = Asking(reporter, patience=PATIENCE) if isinstance(reporter, Reporter) else None
    try:
        async with Client(build_server(Tools(reporter, lambda: NOW), ExtraTools(reporter, asking))) as client:
            yield client
    finally:
        if not isinstance(reporter, Unconfigured):
            reporter.delivery.close(0.2)
            reporter.close()


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text


async def test_every_tool_has_a_description_and_an_output_schema() -> None:
    async with agent_of({}) as client:
        tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == {
        "report_status",
        "report_started",
        "report_complete",
        "report_error",
        "get_job_info",
        "submit_crush_logs",
        "attach_artifact",
        "ask_operator",
        "log_metric",
    }
    for tool in tools:
        assert len(tool.description or "") > 60 and "\n  " not in (tool.description or "")
        assert tool.output_schema is not None and "advice" in tool.output_schema["properties"]


async def test_the_schema_tells_the_statuses_and_the_range() -> None:
    async with agent_of({}) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    fields = tools["report_status"].input_schema["properties"]
    assert fields["status"]["enum"] == ["running", "analyzing", "success", "error"]
    assert (fields["progress"]["minimum"], fields["progress"]["maximum"]) == (0, 100)


async def test_without_settings_tools_answer_what_is_missing() -> None:
    async with agent_of({"TASK_ID": "t1"}) as client:
        for tool in ("report_started", "get_job_info"):
            answer = await call(client, tool)
            assert answer["configured"] is False
            assert "ORCHESTRATOR_URL is not set" in answer["advice"]
            assert len(answer["missing"]) == 2


async def test_a_report_carries_task_key_and_rising_numbers_but_no_attempt(orchestrator: Any) -> None:
    async with agent_of(orchestrator.environ(), now_ms=1_700_000_000_000) as client:
        await call(client, "report_started", message="reading")
        answer = await call(client, "report_status", status="analyzing", message="half", progress=50)
    first, second = orchestrator.reports
    task_id = orchestrator.task["id"]
    told = {"task_id": task_id, "status": "running", "message": "reading", "seq": 1_700_000_000_000}
    assert first == told | {"preparing": False}
    assert (second["status"], second["progress"], second["seq"]) == ("analyzing", 50, 1_700_000_000_001)
    assert orchestrator.keys == ["qbt_right"] * 2
    assert answer["delivered"] is True
    assert (answer["deadline_at"], answer["remaining_seconds"]) == ("2026-01-01T01:00:00Z", 1800)


async def test_complete_and_error_are_verdicts(orchestrator: Any) -> None:
    async with agent_of(orchestrator.environ()) as client:
        done = await call(client, "report_complete", message="report.md written")
        await call(client, "report_error", error_message="no data")
    assert [(r["status"], r.get("progress")) for r in orchestrator.reports] == [("success", 100), ("error", None)]
    assert "verdict" in done["advice"]


@pytest.mark.parametrize("status", ["pending", "cancelled", "done", ""])
async def test_a_status_that_is_not_the_agents_is_refused_with_the_list(orchestrator: Any, status: str) -> None:
    async with agent_of(orchestrator.environ()) as client:
        text = await refusal(client, "report_status", status=status)
    assert "running, analyzing, success, error" in text
    assert orchestrator.reports == []


@pytest.mark.parametrize("progress", [-1, 100.5, 1e9])
async def test_progress_outside_a_percentage_is_refused(orchestrator: Any, progress: float) -> None:
    async with agent_of(orchestrator.environ()) as client:
        assert "from 0 to 100" in await refusal(client, "report_status", status="running", progress=progress)
    assert orchestrator.reports == []


async def test_an_error_without_words_is_refused(orchestrator: Any) -> None:
    async with agent_of(orchestrator.environ()) as client:
        assert "say what failed" in await refusal(client, "report_error", error_message=" ")


async def test_text_that_no_database_takes_is_mended_and_a_long_one_cut(orchestrator: Any) -> None:
    async with agent_of(orchestrator.environ()) as client:
        await call(client, "report_status", status="running", message="a\x00b" + "x" * 20_000)
    message = orchestrator.reports[0]["message"]
    assert message.startswith("a\ufffdb") and len(message) == 10_000


async def test_a_cancelled_task_tells_the_agent_to_stop(orchestrator: Any) -> None:
    orchestrator.task["cancel_requested"] = True
    async with agent_of(orchestrator.environ()) as client:
        answer = await call(client, "report_status", status="running")
    assert answer["cancel_requested"] is True
    assert "stop now" in answer["advice"]


@pytest.mark.parametrize(
    ("deadline", "told"),
    [
        ("2026-01-01T00:31:00Z", "60 s remain until the deadline: save results, then call report_complete"),
        ("2026-01-01T01:00:00Z", "30 minutes remain until the deadline."),
        ("2026-01-01T03:05:59Z", "2 h 35 min remain until the deadline."),
        (None, "Carry on."),
    ],
)
async def test_replies_tell_in_words_how_much_time_is_left(orchestrator: Any, deadline: str | None, told: str) -> None:
    orchestrator.task["deadline_at"] = deadline
    async with agent_of(orchestrator.environ()) as client:
        assert f"Delivered. {told}" in (await call(client, "report_status", status="running"))["advice"]
        assert told in (await call(client, "get_job_info"))["advice"]
        orchestrator.script = [orchestrator.problem(503, "overloaded", "busy")]
        queued = await call(client, "report_status", status="running")
        assert queued["queued"] is True and told.lower() in queued["advice"].lower()


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (409, "already_ended", "stop working"),
        (404, "not_found", "Carry on without"),
        (401, "unauthenticated", "not accepted"),
    ],
)
async def test_a_refused_report_says_so_and_is_not_retried(
    orchestrator: Any, status: int, code: str, advice: str
) -> None:
    orchestrator.script = [orchestrator.problem(status, code, "the reason")]
    async with agent_of(orchestrator.environ()) as client:
        answer = await call(client, "report_status", status="running")
        assert (answer["refused"], answer["delivered"], answer["queued"]) == (True, False, False)
        assert "the reason" in answer["advice"] and advice in answer["advice"]
        assert (await call(client, "report_status", status="running"))["delivered"] is True
    assert len(orchestrator.reports) == 2


async def test_with_nothing_listening_a_call_is_quick_and_queues() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environ = {"ORCHESTRATOR_URL": f"http://127.0.0.1:{port}", "TASK_ID": "t1", "NODE_API_KEY": "k"}
    async with agent_of(environ) as client:
        with Stopwatch() as watch:
            answer = await call(client, "report_started")
            info = await call(client, "get_job_info")
        assert watch.seconds < 2
    assert answer["queued"] is True and answer["waiting_reports"] == 1
    assert info["reachable"] is False and info["task_id"] == "t1"


async def test_a_hanging_orchestrator_holds_no_call_for_two_seconds(orchestrator: Any) -> None:
    orchestrator.hold = threading.Event()
    async with agent_of(orchestrator.environ()) as client:
        for tool in ("report_started", "get_job_info"):
            with Stopwatch() as watch:
                answer = await call(client, tool)
            assert watch.seconds < 2
            assert answer.get("queued", True) is True
        orchestrator.hold.set()
        orchestrator.wait_for(1)


async def test_job_info_tells_the_task_and_changes_nothing(orchestrator: Any) -> None:
    async with agent_of(orchestrator.environ()) as client:
        info = await call(client, "get_job_info")
    assert (info["reachable"], info["title"], info["status"]) == (True, "weather", "running")
    assert (info["attempt"], info["remaining_seconds"]) == (2, 1800)
    assert orchestrator.requests == [("GET", f"/tasks/{orchestrator.task['id']}")]


async def test_job_info_of_an_ended_task_says_to_stop(orchestrator: Any) -> None:
    orchestrator.task["status"] = "cancelled"
    async with agent_of(orchestrator.environ()) as client:
        assert "ended (cancelled)" in (await call(client, "get_job_info"))["advice"]
