"""The HTTP transport towards push nodes, against real servers that behave well and badly."""

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qb.contract.push import SIGNATURE, signature
from qb.domain.errors import RefusedDestination
from qb.push.http import HttpTransport
from qb.push.policy import NodePolicy
from qb.push.transport import Outcome, PushNode

ASSIGNMENT = {"task_id": "t", "prompt": "work", "orchestrator_url": "http://qb", "attempt": 1, "image": None}


class FakeNode:
    """A foreign server with one answer for everything; `seen` has path, headers and body of each request."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"{}", {})
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def at(self, scheme: str = "http", wire: int = 2) -> PushNode:
        """The node, as the dispatcher knows it."""
        return PushNode("id", "name", f"{scheme}://localhost:{self.server.server_port}", "qbn_key", wire)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.seen.append((self.path, dict(self.headers), body))
                status, data, headers = fake.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def fake() -> Iterator[FakeNode]:
    """A server on loopback."""
    made = FakeNode()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


@pytest.fixture
async def transport() -> Any:
    """A transport that may speak to this machine."""
    made = HttpTransport(NodePolicy(loopback=True))
    yield made
    await made.close()


async def test_a_request_is_signed_and_carries_the_node_s_own_key(fake: FakeNode, transport: HttpTransport) -> None:
    fake.answer = (200, b'{"status": "started", "task_id": "t", "pid": 7}', {})
    sent = await transport.send(fake.at(), ASSIGNMENT)
    assert (sent.outcome, sent.pid) == (Outcome.STARTED, 7)
    path, headers, body = fake.seen[0]
    assert (path, headers["X-API-Key"]) == ("/run", "qbn_key")
    assert headers[SIGNATURE] == signature("qbn_key", body)
    assert "image" not in json.loads(body)
    assert headers["Host"] == f"localhost:{fake.server.server_port}"


@pytest.mark.parametrize(
    ("status", "body", "wire", "outcome"),
    [
        (409, b'{"detail": "full"}', 2, Outcome.REFUSED),
        (409, b"busy", 1, Outcome.UNKNOWN),
        (503, b"", 2, Outcome.REFUSED),
        (500, b"", 2, Outcome.UNKNOWN),
        (401, b"", 1, Outcome.REFUSED),
        (400, b'{"detail": "no image reference"}', 2, Outcome.REJECTED),
        (413, b"", 2, Outcome.REJECTED),
        (302, b"", 2, Outcome.REFUSED),
        (200, b"<html>hotel</html>", 2, Outcome.UNKNOWN),
        (200, b" " * (1 << 20), 2, Outcome.UNKNOWN),
    ],
)
async def test_every_answer_has_its_meaning(
    fake: FakeNode, transport: HttpTransport, status: int, body: bytes, wire: int, outcome: Outcome
) -> None:
    fake.answer = (status, body, {"Location": "/elsewhere"} if status == 302 else {})
    assert (await transport.send(fake.at(wire=wire), ASSIGNMENT)).outcome is outcome
    assert [path for path, _, _ in fake.seen] == ["/run"], "no redirect is followed, and nothing is sent twice"


async def test_a_node_that_is_not_there_has_refused_and_one_that_talks_nonsense_has_no_status(
    fake: FakeNode, transport: HttpTransport
) -> None:
    gone = PushNode("id", "name", "http://localhost:1", "qbn_key", 2)
    assert (await transport.send(gone, ASSIGNMENT)).outcome is Outcome.REFUSED
    assert await transport.status(gone) is None
    assert not await transport.healthy(gone)
    assert not await transport.cancel(gone, "t", 1)
    fake.answer = (200, b"<html>", {})
    assert await transport.status(fake.at()) is None


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("10.1.2.3", True), ("192.168.0.9", True), ("8.8.8.8", True), ("fd00::1", True)]
    + [(address, False) for address in ("169.254.169.254", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1")]  # noqa: S104  refused, not bound to
    + [(address, False) for address in ("fe80::1", "168.63.129.16", "::ffff:169.254.169.254", "::ffff:127.0.0.1")],
)
def test_no_node_is_at_a_metadata_link_local_or_own_address(address: str, allowed: bool) -> None:
    if allowed:
        NodePolicy().check(address, host="node")
        return
    with pytest.raises(RefusedDestination):
        NodePolicy().check(address, host="node")


async def test_the_own_address_is_allowed_by_a_setting_and_the_metadata_service_by_none() -> None:
    NodePolicy(loopback=True).check("127.0.0.1", host="node")
    with pytest.raises(RefusedDestination):
        NodePolicy(loopback=True).check("169.254.169.254", host="node")


async def test_a_node_with_a_private_ca_needs_its_ca_file(
    fake: FakeNode, transport: HttpTransport, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
    fake.answer = (200, b'{"status": "ok"}', {})
    assert not await transport.healthy(fake.at("https"))
    trusting = HttpTransport(NodePolicy(loopback=True), certificate[0])
    assert await trusting.healthy(fake.at("https"))
    await trusting.close()


async def test_a_node_that_drips_its_answer_holds_a_call_no_longer_than_the_deadline(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qb.push.http.SEND_SECONDS", 0.3)
    monkeypatch.setattr("qb.push.http.ASK_SECONDS", 0.3)

    ended: asyncio.Queue[None] = asyncio.Queue()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        ended.put_nowait(None)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server, asyncio.timeout(10):
        node = PushNode("id", "name", f"http://localhost:{server.sockets[0].getsockname()[1]}", "qbn_key", 2)
        sent = await transport.send(node, ASSIGNMENT)
        assert (sent.outcome, "no whole answer within 0.3 s" in sent.why) == (Outcome.UNKNOWN, True)
        assert await transport.status(node) is None
        assert not await transport.healthy(node)
        for _ in range(3):
            await ended.get()  # the node is let go of
