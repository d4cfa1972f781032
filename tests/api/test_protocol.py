"""What is no HTTP, and what is one connection too many, is refused in the form of every other refusal."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from qb.api.protocol import HEAD_LIMIT, Protocol
from qb.contract.errors import PROBLEM_TYPE, ErrorCode, Problem
from tests.fixtures_server import Server


@pytest.mark.parametrize("sent", [b"\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nIf-Match: \x0e\r\n\r\n"])
def test_what_is_no_http_gets_a_problem_document(sent: bytes, shared_server: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=10) as wire:
        wire.sendall(sent)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 400 bad request"
    assert f"content-type: {PROBLEM_TYPE}" in lines
    problem = Problem.model_validate_json(body)
    assert (problem.status, f"x-request-id: {problem.request_id}" in lines) == (400, True)


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("before", "head"),
    [(b"", GET + b"X: "), (b"", GET + b"X: a\r\n" * 10_000 + b"X: "), (b"", b"GET /"), (GET + b"\r\n", GET + b"X: ")],
    ids=["one header", "many headers", "the address", "a later request"],
)
async def test_a_head_without_end_is_refused_with_its_limit(before: bytes, head: bytes) -> None:
    async with listening() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if before:
            writer.write(before)
            await reader.readuntil(b"\r\n\r\n")
        writer.write(head.ljust(HEAD_LIMIT + 1, b"a"))
        first, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert first.startswith(b"HTTP/1.1 400 ")
    assert "longer than 64 KiB" in Problem.model_validate_json(body).detail


async def test_who_goes_on_with_a_head_is_cut_off() -> None:
    sent = 0
    async with listening() as port, asyncio.timeout(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + b"X: ")
        with pytest.raises(ConnectionError):
            while sent < 64 << 20:
                writer.write(b"a" * (64 << 10))
                await writer.drain()
                sent += 64 << 10
        writer.close()


async def test_long_bodies_are_not_taken_for_long_heads() -> None:
    async with listening() as port, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert [(await http.post("/", content=b"a" * (1 << 20))).status_code for _ in range(3)] == [204] * 3
        assert (await http.get("/", headers={"X": "a" * (60 << 10)})).status_code == 204


async def _pleased(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """The port of a server that is pleased with every request."""
    config, state = Config(_pleased, http=Protocol, interface="asgi3", log_config=None), ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_one_connection_too_many_is_told_when_to_come_back() -> None:
    config, state = (
        Config(_pleased, http=Protocol, interface="asgi3", limit_concurrency=3, log_config=None),
        ServerState(),
    )
    server = await asyncio.get_running_loop().create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await http.get("/")).status_code == 204
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        refused = await http.get("/")
        for _, wire in idle:
            wire.close()
            await wire.wait_closed()
        async with asyncio.timeout(10):
            while (again := await http.get("/")).status_code != 204:
                assert again.headers["Connection"] == "close"
    problem = Problem.model_validate_json(refused.content)
    assert (refused.status_code, problem.status, problem.code) == (503, 503, ErrorCode.OVERLOADED)
    assert refused.headers["Content-Type"] == PROBLEM_TYPE
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["X-Request-ID"] == problem.request_id
    assert again.status_code == 204
