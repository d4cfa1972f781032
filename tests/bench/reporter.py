"""How soon the status reporter answers after its start, and how much memory it takes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Say, most

TRIES = 5
SECONDS = 1.0
TOOL_SECONDS = 2.0
MEGABYTES = 80.0
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}
CALL = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "get_job_info", "arguments": {}}}


def first_reply(say: Say) -> list[Figure]:
    """From starting the process to the replies to `initialize` and to a call of a tool, and its memory by then.

    Unconfigured, for that is the same way in.
    """
    tries = [_once() for _ in range(TRIES)]
    for first, tool, megabytes in tries:
        say(f"{first:.2f} s, {tool:.2f} s to a tool's reply, {megabytes:.1f} MB")
    first, tool, megabytes = zip(*tries, strict=True)
    return [
        most("status reporter: start to first reply", first, "s", SECONDS),
        most("status reporter: start to first tool's reply", tool, "s", TOOL_SECONDS),
        most("status reporter: resident", megabytes, "MB", MEGABYTES),
    ]


def _once() -> tuple[float, float, float]:
    environment = {key: value for key, value in os.environ.items() if key not in ("ORCHESTRATOR_URL", "TASK_ID")}
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "mcp_status"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        _ask(process, INITIALIZE)
        first = time.perf_counter() - begun
        _ask(process, CALL)
        tool = time.perf_counter() - begun
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
    return first, tool, int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def _ask(process: "subprocess.Popen[bytes]", request: dict[str, Any]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    reply = json.loads(process.stdout.readline())
    assert reply["id"] == request["id"] and "result" in reply, reply
