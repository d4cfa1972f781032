"""The reporter as an agent has it: a process, spoken to over its stdin and stdout."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from mcp_status.reporter import FLUSH_SECONDS
from tests.fixtures_server import Server
from tests.mcp_status.begun import begun
from tests.mcp_status.crush_files import session, write

COMMAND = [sys.executable, "-m", "mcp_status"]
ANSWER_TIMEOUT = 60.0
"""A deadline, not a wait: a busy machine takes its time."""

MOST_MEMORY = 80_000_000
"""Bytes."""


class Agent:
    """Speaks raw JSON-RPC, a line each way."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[bytes] = []

    def send(self, method: str, params: dict[str, Any] | None = None, id: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if id is not None:
            message["id"] = id
        self.write(message)

    def write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout
        assert select.select([self.process.stdout], [], [], ANSWER_TIMEOUT)[0], "no answer"
        line = self.process.stdout.readline()
        self.lines.append(line)
        return json.loads(line)

    def begin(self, version: str = "2024-11-05") -> dict[str, Any]:
        client = {"name": "test", "version": "1"}
        self.send("initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": client}, id=1)
        answer = self.receive()
        self.send("notifications/initialized")
        return answer

    def call(self, tool: str, id: int, **arguments: Any) -> dict[str, Any]:
        self.send("tools/call", {"name": tool, "arguments": arguments}, id=id)
        answer = self.receive()
        assert answer["id"] == id
        return answer["result"]


@contextmanager
def running(environ: dict[str, str], errors: Path, *options: str, command: Sequence[str] = COMMAND) -> Iterator[Agent]:
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            [*command, *options], env=environ, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        ) as process,
    ):
        try:
            yield Agent(process)
        finally:
            process.kill()


def most_memory(agent: Agent) -> int:
    """Bytes that it held at the most until now."""
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_raw_json_rpc_of_every_older_protocol_version_is_understood(
    orchestrator: Any, tmp_path: Path, version: str
) -> None:
    with running(orchestrator.environ(), tmp_path / "err") as agent:
        assert agent.begin(version)["result"]["protocolVersion"] == version
        answer = agent.call("report_started", 2, message="hello")
        assert json.loads(answer["content"][0]["text"])["delivered"] is True
        agent.send("tools/list", id=3)
        assert len(agent.receive()["result"]["tools"]) == 9
        assert agent.process.stdin
        agent.process.stdin.close()
        assert agent.process.wait(ANSWER_TIMEOUT) == 0
    assert orchestrator.reports[0]["message"] == "hello"


def test_stdout_carries_the_protocol_alone_even_when_things_go_wrong(tmp_path: Path) -> None:
    environ = {"ORCHESTRATOR_URL": "http://127.0.0.1:1", "TASK_ID": "t", "NODE_API_KEY": "qbt_secret"}
    with running(environ, tmp_path / "err") as agent:
        agent.begin()
        assert agent.call("report_status", 2, status="running")["structuredContent"]["queued"] is True
        assert agent.call("report_status", 3, status="nonsense")["isError"] is True
        agent.send("nonsense/method", id=4)
        assert "error" in agent.receive()
        agent.process.send_signal(signal.SIGKILL)
        assert agent.process.stdout and agent.process.stdout.read() == b""
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in agent.lines)
    logged = (tmp_path / "err").read_text()
    assert "not delivered yet" in logged and "qbt_secret" not in logged


def test_unconfigured_it_starts_and_answers(tmp_path: Path) -> None:
    with running({}, tmp_path / "err") as agent:
        agent.begin()
        assert agent.call("report_started", 2)["structuredContent"]["configured"] is False
    assert "not configured" in (tmp_path / "err").read_text()


@pytest.mark.parametrize("name", ["JOB_ID", "TASK_ID"])
def test_a_file_of_settings_is_enough_outside_any_container(orchestrator: Any, tmp_path: Path, name: str) -> None:
    file = tmp_path / ".env"
    settings = {"ORCHESTRATOR_URL": orchestrator.url, name: orchestrator.task["id"], "NODE_API_KEY": orchestrator.key}
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    elsewhere = {"TASK_ID": "of a shell", "JOB_ID": "of a shell"}
    with running(elsewhere, tmp_path / "err", "--env-file", str(file)) as agent:
        agent.begin()
        assert agent.call("report_started", 2)["structuredContent"]["delivered"] is True
    assert orchestrator.reports[0]["task_id"] == orchestrator.task["id"]


def test_what_waits_is_flushed_when_the_agent_leaves(orchestrator: Any, tmp_path: Path) -> None:
    orchestrator.script = [orchestrator.problem(503, "overloaded", "busy")]
    with running(orchestrator.environ(), tmp_path / "err") as agent:
        agent.begin()
        assert agent.call("report_complete", 2)["structuredContent"]["queued"] is True
        assert agent.process.stdin
        agent.process.stdin.close()
        assert agent.process.wait(ANSWER_TIMEOUT) == 0
    assert [report["status"] for report in orchestrator.reports] == ["success", "success"]


def test_what_waits_is_flushed_on_sigterm(orchestrator: Any, tmp_path: Path) -> None:
    orchestrator.script = [orchestrator.problem(503, "overloaded", "busy")]
    with running(orchestrator.environ(), tmp_path / "err") as agent:
        agent.begin()
        assert agent.call("report_complete", 2)["structuredContent"]["queued"] is True
        agent.process.terminate()
        assert agent.process.wait(ANSWER_TIMEOUT) == 0
    assert len(orchestrator.reports) == 2


def test_with_the_orchestrator_down_it_tries_for_five_seconds_and_leaves(tmp_path: Path) -> None:
    """That it tries no longer is for `test_delivery` to say, where no busy machine is mistaken for a long flush."""
    environ = {"ORCHESTRATOR_URL": "http://127.0.0.1:1", "TASK_ID": "t", "NODE_API_KEY": "k"}
    with running(environ, tmp_path / "err") as agent:
        agent.begin()
        agent.call("report_complete", 2)
        began = time.monotonic()
        assert agent.process.stdin
        agent.process.stdin.close()
        assert agent.process.wait(ANSWER_TIMEOUT) == 0
        assert time.monotonic() - began >= FLUSH_SECONDS
    assert "1 reports, files or logs could not be delivered" in (tmp_path / "err").read_text()


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
async def test_an_mcp_client_over_stdio_gets_structured_answers(orchestrator: Any, mode: str) -> None:
    server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=orchestrator.environ())
    async with Client(server, mode=mode) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        result = await client.call_tool("report_status", {"status": "running", "progress": 10})
    assert result.structured_content is not None and result.structured_content["delivered"] is True
    assert orchestrator.reports[0]["progress"] == 10


def test_it_stays_small_even_while_it_sends_a_log_of_ten_megabytes(shared_server: Server, tmp_path: Path) -> None:
    with begun(shared_server) as task:
        messages = [(f"m{number}", "assistant", "x" * 100_000) for number in range(95)]
        write(tmp_path / ".crush" / "crush.db", [session("s", int(time.time()) + 1)], messages)
        environ = os.environ | task.environ | {"VICTORIA_HOME": str(tmp_path)}
        with running(environ, tmp_path / "err") as agent:
            agent.begin()
            agent.call("report_started", 2)
            agent.call("get_job_info", 3)
            sent = agent.call("submit_crush_logs", 4)["structuredContent"]
            most = most_memory(agent)
    assert (sent["delivered"], sent["messages"], sent["cost"]) == (True, 95, 0.25)
    assert most <= MOST_MEMORY


def test_it_stays_small_where_it_knows_the_worlds_authorities(tmp_path: Path) -> None:
    environ = {"ORCHESTRATOR_URL": "https://127.0.0.1:1", "TASK_ID": "t", "NODE_API_KEY": "k"}
    with running(environ, tmp_path / "err") as agent:
        agent.begin()
        assert agent.call("report_started", 2)["structuredContent"]["queued"] is True
        assert most_memory(agent) <= MOST_MEMORY
