"""The first reply: the SDK's own words, before the SDK is there; and nothing but the protocol on stdout."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_status.greeting import VERSIONS, greet
from tests.mcp_status.test_stdio import ANSWER_TIMEOUT, COMMAND, running


def initialize(version: str = "2025-06-18", **more: Any) -> dict[str, Any]:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params} | more


def greeted(message: Any) -> Any:
    found = greet(json.dumps(message).encode())
    return found and json.loads(found.line)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_the_sdks_own_reply_word_for_word(tmp_path: Path, version: str) -> None:
    # a member that no request has: this one is left to the SDK
    message = initialize(version, left="to the SDK")
    assert greeted(message) is None
    with running({}, tmp_path / "err") as agent:
        agent.write(message)
        assert agent.receive() == greeted(initialize(version))


@pytest.mark.parametrize("version", [*VERSIONS, "2030-01-01"])
def test_the_client_is_answered_once_and_known_afterwards(tmp_path: Path, version: str) -> None:
    with running({}, tmp_path / "err") as agent:
        agent.begin(version)
        agent.send("tools/list", id=2)
        assert len(agent.receive()["result"]["tools"]) == 9
        agent.process.stdin.close()
        assert agent.process.stdout.read() == b""
    assert "greeted otherwise" not in (tmp_path / "err").read_text()


def test_a_client_that_waits_for_nothing_is_answered_in_full(tmp_path: Path) -> None:
    with running({}, tmp_path / "err") as agent:
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        known = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        raw = b"".join(json.dumps(each).encode() + b"\n" for each in (initialize(), known, listing))
        agent.process.stdin.write(raw[:40])
        agent.process.stdin.write(raw[40:])
        assert [agent.receive()["id"] for _ in range(2)] == [1, 2]


def test_it_needs_no_sdk(tmp_path: Path) -> None:
    (tmp_path / "mcp").mkdir()
    (tmp_path / "mcp" / "__init__.py").write_text("raise SystemExit(7)")
    with running({"PYTHONPATH": str(tmp_path)}, tmp_path / "err") as agent:
        agent.write(initialize())
        assert agent.receive() == greeted(initialize())
        assert agent.process.wait(ANSWER_TIMEOUT) == 7


def test_a_client_that_says_nothing_ends_it_well() -> None:
    done = subprocess.run(COMMAND, env={}, input=b"", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize(
    "message",
    [
        initialize(method="server/discover"),
        initialize(method=["initialize"]),
        initialize("2026-07-28"),
        initialize(id=None),
        initialize(id=True),
        initialize(jsonrpc="1.0"),
        initialize(params=None),
        initialize(params=[]),
        initialize(params={"protocolVersion": ["2024-11-05"]}),
        initialize(params={"protocolVersion": "2024-11-05", "capabilities": {}}),
        initialize(params={"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "x"}}),
        [initialize()],
        "initialize",
        None,
    ],
)
def test_what_is_no_sound_initialize_is_left_to_the_sdk(message: Any) -> None:
    assert greeted(message) is None


@pytest.mark.parametrize("line", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_left_to_the_sdk(line: bytes) -> None:
    assert greet(line) is None


def test_what_is_printed_goes_to_stderr_and_children_read_nothing() -> None:
    program = "\n".join(
        [
            "import os, subprocess",
            "from mcp_status.wire import Wire",
            "wire = Wire()",
            "print('a stray print', flush=True)",
            "subprocess.run(['sh', '-c', 'echo a child; cat'], check=True)",
            "reads, writes = wire.streams()",
            "writes.write(reads.readline())",
            "writes.flush()",
        ]
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=b"the wire\n", capture_output=True, timeout=60, check=True)
    assert done.stdout == b"the wire\n"
    assert done.stderr == b"a stray print\na child\n"
