"""Outgoing webhooks against a real receiver: signed, retried, and kept away from where nothing may go."""

import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qb.contract.webhooks import Delivery
from tests.fixtures_server import Server, new_server

PATIENCE = 20


@dataclass
class Receiver:
    """An HTTP server that notes what it is sent; it answers `answers` in turn, the last one for ever."""

    port: int = 0
    answers: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """The bodies, once so many came."""
        deadline = time.monotonic() + PATIENCE
        while len(self.got) < count:
            assert time.monotonic() < deadline, f"{len(self.got)} of {count} deliveries came"
            time.sleep(0.02)
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on loopback."""
    made = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            made.got.append((dict(self.headers), body))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"http://127.0.0.1:{made.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A control plane whose webhooks may lead to loopback."""
    own = new_server(tmp_path / "qb", "--webhook-network", "127.0.0.0/8")
    own.start()
    try:
        yield own
    finally:
        own.stop()


def hook(server: Server, url: str, *events: str) -> dict[str, Any]:
    """Make a webhook."""
    with server.http() as http:
        answer = http.post("/webhooks", json={"url": url, **({"events": events} if events else {})})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


def cancelled(server: Server) -> str:
    """A task that has ended."""
    with server.http() as http:
        task = http.post("/tasks", json={"prompt": "the prompt is secret", "title": "a title"}).json()["id"]
        http.delete(f"/tasks/{task}")
        return str(task)


def shown(server: Server, webhook_id: str) -> dict[str, Any]:
    """The webhook as the API shows it."""
    with server.http() as http:
        return next(each for each in http.get("/webhooks").json() if each["id"] == webhook_id)


def until(server: Server, webhook_id: str, **wanted: int) -> dict[str, Any]:
    """The webhook, once its counts are so."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = shown(server, webhook_id)
        if wanted.items() <= found.items():
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_an_end_is_told_once_and_signed(server: Server, receiver: Receiver) -> None:
    made = hook(server, receiver.url)
    task = cancelled(server)
    (told,) = receiver.wait_for(1)
    assert (told["type"], told["task_id"], told["status"]) == ("task.cancelled", task, "cancelled")
    assert (told["title"], told["reason"]) == ("a title", "cancelled_by_operator")
    headers, body = receiver.got[0]
    assert b"secret" not in body
    stamp, mac = (part.partition("=")[2] for part in headers["X-QB-Signature"].split(","))
    assert abs(int(stamp) - time.time()) < 60
    expected = hmac.new(made["secret"].encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert mac == expected
    assert headers["X-QB-Event"] == "task.cancelled"
    assert headers["X-QB-Delivery"] == told["id"]
    assert "X-API-Key" not in headers
    until(server, made["id"], delivered=1, waiting=0)
    assert len(receiver.got) == 1


def test_each_status_is_told_in_its_turn_and_a_repeated_one_is_no_news(server: Server, receiver: Receiver) -> None:
    names = ["task.created", "task.assigned", "task.running", "task.success"]
    hook(server, receiver.url, *names)
    with server.http() as admin:
        node = admin.post("/nodes", json={"name": "box"}).json()
        task = admin.post("/tasks", json={"prompt": "work"}).json()["id"]
    with server.http(node["api_key"]) as http:
        http.get("/tasks/pending")
        for status in ("running", "running", "running", "success"):
            http.post("/status", json={"task_id": task, "status": status})
    told = receiver.wait_for(4)
    assert sorted(each["type"] for each in told) == sorted(names)
    assert len({each["event_id"] for each in told}) == 4
    for each in told:
        # the contract's words, and none beside them
        assert Delivery.model_validate(each).model_dump(mode="json") == each


def test_what_fails_is_tried_again_and_survives_a_restart(server: Server, receiver: Receiver) -> None:
    receiver.answers = [500, 200]
    made = hook(server, receiver.url)
    cancelled(server)
    receiver.wait_for(1)
    found = until(server, made["id"], waiting=1)
    assert found["last_error"] == "the answer was 500"
    server.kill()
    server.start()
    first, second = receiver.wait_for(2)
    assert first == second, "the same delivery, by its id"
    until(server, made["id"], delivered=1, waiting=0)


def test_redirects_are_not_followed(server: Server, receiver: Receiver) -> None:
    receiver.answers = [302]
    made = hook(server, receiver.url)
    cancelled(server)
    receiver.wait_for(1)
    assert "redirects are not followed" in until(server, made["id"], waiting=1)["last_error"]
    assert len(receiver.got) == 1


def test_a_receiver_that_is_gone_keeps_no_other_waiting(server: Server, receiver: Receiver, free_port: int) -> None:
    dead = hook(server, f"http://127.0.0.1:{free_port}/")
    hook(server, receiver.url)
    cancelled(server)
    receiver.wait_for(1)
    assert "not delivered" in until(server, dead["id"], waiting=1)["last_error"]


def test_what_happened_before_is_not_told_and_what_is_removed_hears_nothing(server: Server, receiver: Receiver) -> None:
    cancelled(server)
    made = hook(server, receiver.url)
    after = cancelled(server)
    assert [each["task_id"] for each in receiver.wait_for(1)] == [after]
    with server.http() as http:
        assert http.delete(f"/webhooks/{made['id']}").json()["id"] == made["id"]
        assert http.delete(f"/webhooks/{made['id']}").status_code == 404
        assert http.get("/webhooks").json() == []
    other = hook(server, receiver.url + "/2")
    last = cancelled(server)
    assert [each["task_id"] for each in receiver.wait_for(2)] == [after, last]
    until(server, other["id"], delivered=1)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "http://localhost/", "http://169.254.169.254/", "http://10.0.0.1/", "ftp://example.org/"],
)
def test_private_addresses_are_refused_unless_a_setting_allows_them(url: str, shared_server: Server) -> None:
    with shared_server.http() as http:
        assert http.post("/webhooks", json={"url": url}).status_code == 422


def test_a_name_nobody_knows_is_refused_with_the_reason(shared_server: Server) -> None:
    with shared_server.http() as http:
        answer = http.post("/webhooks", json={"url": "https://no.such.host.invalid/"})
    assert answer.status_code == 422
    assert "cannot be looked up" in answer.json()["detail"]


def test_a_secret_is_shown_once_and_kept_nowhere(server: Server, receiver: Receiver) -> None:
    made = hook(server, receiver.url)
    cancelled(server)
    receiver.wait_for(1)
    assert "secret" not in shown(server, made["id"])
    server.stop()
    for path in server.data_dir.rglob("*"):
        assert path.is_dir() or made["secret"].encode() not in path.read_bytes(), path
    assert receiver.url.encode() not in (server.data_dir / "qb.db").read_bytes()
    assert made["secret"] not in json.dumps(list(server.log))
