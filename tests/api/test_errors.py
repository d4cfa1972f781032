"""Every error is a problem document, and tells nothing that is not the caller's business."""

import sqlite3
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from falcon.asgi import Request, Response

from qb.api.asgi import Api
from qb.api.errors import HTTP, handle_errors
from qb.contract.errors import ErrorCode, Problem
from qb.domain import errors
from qb.domain.errors import QuarterbackError


def _tree(root: type[QuarterbackError]) -> Iterator[type[QuarterbackError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


DOMAIN = [kind for kind in _tree(QuarterbackError) if kind.__module__ == errors.__name__]


class Failing:
    """Raises what the test wants."""

    error: BaseException = RuntimeError("unset")

    async def on_get(self, req: Request, resp: Response) -> None:
        raise self.error


@pytest.fixture
async def failing() -> AsyncIterator[tuple[Failing, httpx2.AsyncClient]]:
    app, resource = Api(), Failing()
    handle_errors(app)
    app.add_route("/fail", resource)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield resource, http


def test_every_code_has_a_row() -> None:
    assert set(HTTP) == set(ErrorCode)


@pytest.mark.parametrize("kind", DOMAIN)
async def test_each_domain_error_answers_with_its_code(
    kind: type[QuarterbackError], failing: tuple[Failing, httpx2.AsyncClient]
) -> None:
    resource, http = failing
    resource.error = kind("the thing, the reason, the mend")
    answer = await http.get("/fail", headers={"X-Request-ID": "abc-1"})
    problem = Problem.model_validate_json(answer.content)
    assert (answer.status_code, problem.title) == HTTP[kind.code]
    assert problem.status == answer.status_code
    assert problem.code is kind.code
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.request_id == answer.headers["x-request-id"] == "abc-1"
    assert ("retry-after" in answer.headers) == (answer.status_code in (429, 503))


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), sqlite3.OperationalError("no such table: secret")])
async def test_an_unforeseen_error_says_nothing_but_its_request_id(
    error: Exception, failing: tuple[Failing, httpx2.AsyncClient], capfd: pytest.CaptureFixture[str]
) -> None:
    resource, http = failing
    resource.error = error
    answer = await http.get("/fail")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    logged = capfd.readouterr()
    assert answer.json()["request_id"] in logged.out + logged.err
    assert "secret" in logged.out + logged.err


async def test_a_number_that_sqlite_cannot_hold_is_the_callers_error(
    failing: tuple[Failing, httpx2.AsyncClient],
) -> None:
    resource, http = failing
    resource.error = OverflowError("Python int too large to convert to SQLite INTEGER")
    assert (await http.get("/fail")).status_code == 422


async def test_a_message_with_a_surrogate_can_still_be_answered(failing: tuple[Failing, httpx2.AsyncClient]) -> None:
    resource, http = failing
    resource.error = errors.Invalid("no file '\ud800'")
    assert (await http.get("/fail")).json()["detail"] == "no file '?'"


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(
    failing: tuple[Failing, httpx2.AsyncClient],
) -> None:
    _, http = failing
    assert (await http.get("/nothing-here")).json()["code"] == "not_found"
    wrong = await http.delete("/fail")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]


@pytest.mark.parametrize("sent", ["", "x" * 65, "with space", "a\tb", "ünlaut"])
async def test_a_request_id_that_is_not_short_and_plain_is_replaced(
    sent: str, failing: tuple[Failing, httpx2.AsyncClient]
) -> None:
    _, http = failing
    answer = await http.get("/nothing-here", headers=[("X-Request-ID", sent.encode())])
    assert answer.headers["x-request-id"] not in ("", sent)


async def test_a_query_of_any_bytes_is_no_server_error(failing: tuple[Failing, httpx2.AsyncClient]) -> None:
    resource, http = failing
    resource.error = errors.NotFound("no such thing")
    query = b"a=\xff\xfe&b=%ff"
    transport = http._transport
    assert isinstance(transport, httpx2.ASGITransport)
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: dict[str, object]) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/fail",
        "query_string": query,
        "headers": [],
    }
    await transport.app(scope, receive, send)
    assert sent[0]["status"] == 404


async def test_a_websocket_is_turned_away_without_an_error(failing: tuple[Failing, httpx2.AsyncClient]) -> None:
    _, http = failing
    transport = http._transport
    assert isinstance(transport, httpx2.ASGITransport)
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(event: dict[str, object]) -> None:
        sent.append(event)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "path": "/fail",
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
    }
    await transport.app(scope, receive, send)
    assert sent[0]["type"] == "websocket.close"
