"""Strict JSON in: what is refused, with which words, and how much is read of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from falcon.asgi import Request, Response

from qb.api.asgi import Api
from qb.api.errors import handle_errors
from qb.api.media import THREAD_FROM, parse, read_json, read_model, reply
from qb.contract.tasks import StatusReport, TaskCreate
from qb.domain.errors import Malformed

LIMIT = 1 << 20


class Echo:
    """Answers with the JSON it got."""

    async def on_post(self, req: Request, resp: Response) -> None:
        reply(resp, {"got": await read_json(req, LIMIT)})


class Typed:
    """Answers 200 to a task that could be created, and to a report."""

    async def on_post(self, req: Request, resp: Response) -> None:
        reply(resp, await read_model(req, TaskCreate))

    async def on_post_report(self, req: Request, resp: Response) -> None:
        reply(resp, await read_model(req, StatusReport))


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    app = Api()
    handle_errors(app)
    app.add_route("/echo", Echo())
    app.add_route("/typed", Typed())
    app.add_route("/report", Typed(), suffix="report")
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def post(http: httpx2.AsyncClient, body: bytes, path: str = "/echo", **headers: str) -> httpx2.Response:
    return await http.post(path, content=body, headers={"Content-Type": "application/json", **headers})


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "half an object": (b'{"a": 1', "not JSON"),
    "two values": (b"{} {}", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-8"),
    "a stray byte": (b'{"a": "\xff"}', "UTF-8"),
    "an encoded surrogate": (b'{"a": "\xed\xa0\x80"}', "UTF-8"),
    "a raw line break in text": (b'{"a": "\n"}', "not JSON"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "infinity": (b'{"a": [-Infinity]}', "-Infinity"),
    "a float beyond doubles": (b'{"a": 1e999}', "too large"),
    "an integer beyond 64 bits": (b'{"a": 9223372036854775808}', "64 bits"),
    "an integer of 5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "64 bits"),
    "a key twice": (b'{"a": 1, "b": 2, "a": 3}', "'a' twice"),
    "a key twice, deep down": (b'{"a": [{"b": 1, "b": 1}]}', "'b' twice"),
    "65 levels of arrays": (b"[" * 65 + b"]" * 65, "nested"),
    "65 levels of objects": (b'{"a":' * 65 + b"1" + b"}" * 65, "nested"),
    "half a million levels": (b"[" * 500_000, "nested"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_body_that_is_not_strict_json_is_malformed(name: str, http: httpx2.AsyncClient) -> None:
    body, words = BAD[name]
    answer = await post(http, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 64 + b"]" * 64,
        b'{"a": "' + b"[" * 200 + b'"}',
        b'{"a": "\\ud83d\\ude00", "b": [1.5, -9223372036854775808, true, null]}',
        b'[{"a": 1}, {"a": 1}]',
    ],
)
async def test_json_at_the_limits_is_taken(body: bytes, http: httpx2.AsyncClient) -> None:
    assert (await post(http, body)).status_code == 200


async def test_a_large_body_is_as_strictly_read(http: httpx2.AsyncClient) -> None:
    text = b'{"a": "' + b"x" * THREAD_FROM + b'"'
    assert (await post(http, text + b"}")).status_code == 200
    refused = await post(http, text + b', "a": 1}')
    assert refused.json()["detail"] == "the body has the key 'a' twice"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_another_media_type_is_refused(kind: str, http: httpx2.AsyncClient) -> None:
    answer = await http.post("/echo", content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json; charset=utf-8"}])
async def test_json_may_say_so_or_say_nothing(headers: dict[str, str], http: httpx2.AsyncClient) -> None:
    assert (await http.post("/echo", content=b"{}", headers=headers)).status_code == 200


async def test_a_body_over_the_limit_is_refused_unread() -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    status, _ = await exchange(receive, [(b"content-length", str(LIMIT + 1).encode())])
    assert (status, read) == (413, 1)


async def test_a_chunked_body_is_bounded_too() -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b" " * 65536, "more_body": True}

    status, _ = await exchange(receive, [])
    assert status == 413
    assert read <= LIMIT // 65536 + 2


async def test_a_client_that_goes_in_the_middle_of_a_body_did_not_send_it() -> None:
    # what has come reads as a whole object; only its length tells
    events = [
        {"type": "http.request", "body": b'{"a": 1}', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    status, body = await exchange(receive, [(b"content-length", b"100")])
    assert status == 400
    assert b"broke off after 8 of 100 bytes" in body


async def exchange(receive: Any, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    app = Api()
    handle_errors(app)
    app.add_route("/echo", Echo())
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/echo",
        "query_string": b"",
        "headers": headers,
    }
    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


UNFIT: dict[str, tuple[str, bytes, str]] = {
    "no prompt": ("/typed", b"{}", "prompt: Field required"),
    "an empty prompt": ("/typed", b'{"prompt": " "}', "prompt: is empty"),
    "NUL in a prompt": ("/typed", b'{"prompt": "a\\u0000"}', "prompt: holds a NUL character"),
    "a lone surrogate": ("/typed", b'{"prompt": "\\ud800"}', "surrogate"),
    "a lone surrogate in a key": ("/typed", b'{"prompt": "a", "target_tags": {"\\ud800": "x"}}', "target_tags"),
    "a long prompt": ("/typed", b'{"prompt": "' + b"x" * 131_072 + b'"}', "131071"),
    "an array": ("/typed", b"[]", "body: "),
    "progress over 100": ("/report", b'{"status": "running", "progress": 101}', "progress"),
    "progress under 0": ("/report", b'{"status": "running", "progress": -1}', "progress"),
    "a status of the orchestrator": ("/report", b'{"status": "pending"}', "status"),
    "two tasks": ("/report", b'{"status": "running", "task_id": "a", "job_id": "b"}', "different tasks"),
}


@pytest.mark.parametrize("name", UNFIT)
async def test_json_that_does_not_fit_is_invalid_and_says_where(name: str, http: httpx2.AsyncClient) -> None:
    path, body, words = UNFIT[name]
    answer = await post(http, body, path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert words in answer.json()["detail"]


async def test_a_refusal_never_repeats_what_was_sent(http: httpx2.AsyncClient) -> None:
    secret = "qba_do-not-print-me"
    body = b'{"prompt": ["%b"], "env": {"TOKEN": {"x": "%b"}}}' % (secret.encode(), secret.encode())
    answer = await post(http, body, "/typed")
    assert answer.status_code == 422
    assert secret not in answer.text


def test_the_reason_of_a_deep_body_is_its_depth_and_not_its_brackets() -> None:
    assert parse(b'["' + b"[" * 500 + b'"]')
    with pytest.raises(Malformed, match="64 levels"):
        parse(b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}")
