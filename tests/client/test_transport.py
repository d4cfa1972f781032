"""What a server that is none of ours, or a value that cannot be sent, makes of a call: a ClientError, always."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qb.client import ClientError, QbClient
from qb.client.errors import BadAnswer, BadCredential

LONE = "task-\udc80"


class Elsewhere(ThreadingHTTPServer):
    """Gives one answer to everything."""

    answer = b"<html>hotel</html>"


class Handler(BaseHTTPRequestHandler):
    """Answers with what its server says."""

    def do_GET(self) -> None:
        """The answer, in one piece."""
        assert isinstance(self.server, Elsewhere)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """A server on loopback."""
    with Elsewhere(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(elsewhere: Elsewhere) -> Iterator[QbClient]:
    """A client that takes it for the orchestrator."""
    with QbClient(f"http://127.0.0.1:{elsewhere.server_port}", api_key="qba_x", answer_limit=1 << 10) as made:
        yield made


def test_a_node_with_its_tag_is_read_with_the_same_care_as_all_else(client: QbClient, elsewhere: Elsewhere) -> None:
    with pytest.raises(BadAnswer, match="not JSON"):
        client.admin.tagged_node("box")
    elsewhere.answer = b'"' + b"x" * (2 << 10) + b'"'
    with pytest.raises(BadAnswer, match="is over"):
        client.admin.tagged_node("box")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.task(LONE),
        lambda client: client.admin.tagged_node(LONE),
        lambda client: list(client.follow_events(LONE)),
        lambda client: client.admin.audit(action=LONE),
        lambda client: client.upload(Path(LONE)),
        lambda client: QbClient(client.url, api_key="qba_\u2026"),
        lambda client: client.use_key("qba_\u2026"),
    ],
)
def test_what_no_request_can_carry_is_a_client_error(client: QbClient, call: Callable[[QbClient], Any]) -> None:
    with pytest.raises(ClientError) as raised:
        call(client)
    assert "\u2026" not in str(raised.value), "a key is in no message"


@pytest.mark.parametrize(
    "secret", ["qba_whole\r", "qba_whole\n", "qba_who le", "qba_whole\x7f", "qba_whole\u00e9", " "]
)
def test_a_secret_that_no_header_carries_is_refused_before_any_request_and_not_shown(
    client: QbClient, secret: str
) -> None:
    for call in (
        lambda: QbClient(client.url, api_key=secret),
        lambda: QbClient(client.url, registration_token=secret),
        lambda: client.use_key(secret),
    ):
        with pytest.raises(BadCredential, match="holds characters that no key has: copy it again") as raised:
            call()
        assert "qba_" not in str(raised.value)


def test_schedules_that_do_not_run_again_come_last(client: QbClient, elsewhere: Elsewhere) -> None:
    common = {"prompt": "work", "recurrence": "daily", "time_zone": "UTC", "missed_runs": "skip", "created_at": "2026"}
    whens = [("never", None), ("later", "2026-02-01T00:00:00Z"), ("soon", "2026-01-02T00:00:00Z")]
    elsewhere.answer = json.dumps([common | {"id": name, "next_run_at": at} for name, at in whens]).encode()
    assert [each.id for each in client.schedules()] == ["soon", "later", "never"]
