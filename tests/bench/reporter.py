"""How soon the status reporter answers an agent's first request after its start."""

import json
import os
import subprocess
import sys
import time

from tests.bench.figures import Figure, Say, most

TRIES = 5
SECONDS = 1.0
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


def first_reply(say: Say) -> list[Figure]:
    """From starting the process to the reply to `initialize`; unconfigured, for that is the same way in."""
    took = []
    for _ in range(TRIES):
        took.append(_once())
        say(f"{took[-1]:.2f} s")
    return [most("status reporter: start to first reply", took, "s", SECONDS)]


def _once() -> float:
    environment = {key: value for key, value in os.environ.items() if key not in ("ORCHESTRATOR_URL", "TASK_ID")}
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "mcp_status"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        reply = json.loads(process.stdout.readline())
        seconds = time.perf_counter() - begun
        process.stdin.close()
        process.wait(30)
    assert reply["id"] == 1 and "result" in reply, reply
    return seconds
