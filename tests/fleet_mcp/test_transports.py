"""`qb mcp` as a process: over stdio with the key it was given, over HTTP with the key that each request brings."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.fixtures_server import QB, Server

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def environ(server: Server, tmp_path: Path, **more: str) -> dict[str, str]:
    """What a process needs to know of the server, and of no other one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("QB_")}
    return clean | {"QB_URL": server.url, "QB_PROFILE": str(tmp_path / "none")} | more


async def test_stdio_speaks_with_the_key_of_the_environment(
    shared_server: Server, box: Any, call: Any, tmp_path: Path
) -> None:
    env = environ(shared_server, tmp_path, QB_API_KEY=box.key)
    async with Client(StdioServerParameters(command=str(QB), args=["mcp", "--max-tasks", "1"], env=env)) as client:
        made = await call(client, "create_task", prompt="over stdio", node_name=box.name)
        assert (await client.call_tool("list_nodes", {})).is_error
    with shared_server.client() as operator:
        assert operator.task(made["task"]["id"]).created_by == box.name


def test_stdio_speaks_the_oldest_protocol_and_nothing_else_on_stdout(shared_server: Server, tmp_path: Path) -> None:
    about = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    sent = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": about},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        LIST,
    ]
    env = environ(shared_server, tmp_path, QB_API_KEY=shared_server.admin_key)
    process = subprocess.Popen([str(QB), "mcp"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:
        for each in sent:
            process.stdin.write(json.dumps(each) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.wait(20) == 0
    assert answers[0]["result"]["protocolVersion"] == "2024-11-05"
    assert len(answers[1]["result"]["tools"]) == 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "there is no API key"), (("--transport", "http", "--host", "192.0.2.1"), "cannot listen at 192.0.2.1")],
    ids=["no key", "no such address"],
)
def test_what_cannot_serve_says_so(
    shared_server: Server, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    env = environ(shared_server, tmp_path)
    done = subprocess.run(
        [str(QB), "mcp", *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0 and done.stdout == ""
    assert said in done.stderr and "hint:" in done.stderr


@pytest.fixture
def address(shared_server: Server, tmp_path: Path) -> Iterator[str]:
    """Where `qb mcp --transport http` listens; it has an admin's key in its environment, which must open nothing."""
    env = environ(shared_server, tmp_path, QB_API_KEY=shared_server.admin_key)
    command = [str(QB), "mcp", "--transport", "http", "--port", "0", "--max-tasks", "1"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        line = process.stderr.readline()
        assert line.startswith("listening at http://127.0.0.1:"), line
        yield line.split()[-1]
        process.terminate()
        assert "Traceback" not in process.stderr.read()
    process.wait(20)


@asynccontextmanager
async def over_http(address: str, **headers: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        yield client


async def test_http_has_the_rights_of_each_requests_own_key(
    shared_server: Server, address: str, box: Any, call: Any, refusal: Any
) -> None:
    admin = shared_server.admin_key
    async with over_http(address, Authorization=f"Bearer {box.key}") as scoped:
        assert "Refused (403)" in await refusal(scoped, "list_nodes")
        made = (await call(scoped, "create_task", prompt="over http", node_name=box.name))["task"]
        assert "--max-tasks" in await refusal(scoped, "create_task", prompt="again", node_name=box.name)
        heard: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            heard.append(done)

        asked = {"task_id": made["id"], "timeout_seconds": 0.2}
        waited = await scoped.call_tool("wait_for_task", asked, progress_callback=progress)
        assert not waited.is_error and heard == [0]
    async with over_http(address, **{"X-API-Key": admin}) as operator:
        assert box.name in [node["name"] for node in (await call(operator, "list_nodes"))["nodes"]]
        assert (await call(operator, "show_task", task_id=made["id"]))["id"] == made["id"]
        await call(operator, "create_task", prompt="another caller has its own budget", node_name=box.name)


async def test_a_task_that_asks_over_http_proves_itself_with_its_token(
    shared_server: Server, address: str, box: Any, call: Any
) -> None:
    async with over_http(address, Authorization=f"Bearer {box.key}") as client:
        await call(client, "create_task", prompt="the whole", node_name=box.name)
    given = box.take()
    headers = {"X-API-Key": shared_server.admin_key, "X-Task-Token": given.task_token}
    async with over_http(address, **headers) as client:
        made = await call(client, "create_task", prompt="a part", node_name=box.name)
    assert made["task"]["parent_task_id"] == given.task_id


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer qba_wrong"},
        {"Authorization": "Bearer"},
        {"X-API-Key": "qbt_x"},
        {"X-API-Key": "é"},
    ],
    ids=["none", "unknown", "empty", "no API key", "no ASCII"],
)
def test_without_a_good_key_nothing_is_answered(address: str, headers: dict[str, str]) -> None:
    for method in ("POST", "GET", "DELETE"):
        raw = [(name.encode(), value.encode()) for name, value in (ACCEPT | headers).items()]
        answer = httpx2.request(method, address, headers=raw, content=json.dumps(LIST), timeout=30)
        assert answer.status_code == 401
        assert "tools" not in answer.text
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_nodes_key_and_a_revoked_one_open_nothing(shared_server: Server, address: str, box: Any) -> None:
    node_key = box.client._wire._http.headers["X-API-Key"]
    for key in (node_key, f"{box.key}x"):
        answer = httpx2.post(address, headers=ACCEPT | {"X-API-Key": key}, json=LIST, timeout=30)
        assert answer.status_code == 401


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_a_page_elsewhere_cannot_reach_it_through_a_browser(
    shared_server: Server, address: str, header: dict[str, str]
) -> None:
    headers = ACCEPT | {"X-API-Key": shared_server.admin_key} | header
    answer = httpx2.post(address, headers=headers, json=LIST, timeout=30)
    assert answer.status_code in (403, 421)


def test_a_body_past_the_limit_is_refused(shared_server: Server, address: str) -> None:
    headers = ACCEPT | {"X-API-Key": shared_server.admin_key}
    answer = httpx2.post(address, headers=headers, content=b"x" * (2 << 20), timeout=30)
    assert answer.status_code == 413


def test_a_key_cannot_be_checked_while_the_orchestrator_is_away(server: Server, tmp_path: Path) -> None:
    env = environ(server, tmp_path)
    command = [str(QB), "mcp", "--transport", "http", "--port", "0"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        address = process.stderr.readline().split()[-1]
        server.kill()
        answer = httpx2.post(address, headers=ACCEPT | {"X-API-Key": server.admin_key}, json=LIST, timeout=30)
        process.terminate()
        process.stderr.read()
    process.wait(20)
    assert answer.status_code == 503
