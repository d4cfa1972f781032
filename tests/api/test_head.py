"""HEAD, which uptime monitors and load balancers send: a GET without the body."""

import httpx2
import pytest

from qb.contract.routes import ROUTES, Caller
from tests.api.conftest import Running
from tests.fixtures_server import Server

OPEN = sorted(route.path for route in ROUTES if route.method == "GET" and Caller.ANYONE in route.callers)


@pytest.mark.parametrize("path", OPEN)
async def test_what_anyone_may_get_answers_head_as_get_without_the_body(running: Running, path: str) -> None:
    head, get = await running.http.head(path), await running.http.get(path)
    assert (head.status_code, head.headers.get("content-type")) == (get.status_code, get.headers.get("content-type"))
    assert head.content == b""
    assert get.status_code != 200 or get.content


async def test_a_check_that_fails_is_told_to_head_too(running: Running) -> None:
    running.core.stopping.set()
    assert (await running.http.head("/readyz")).status_code == 503
    assert (await running.http.head("/health")).status_code == 200


async def test_options_says_where_head_is_answered(running: Running) -> None:
    assert set((await running.http.options("/health")).headers["allow"].split(", ")) == {"GET", "HEAD"}
    refused = await running.http.post("/health")
    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "OPTIONS"})


async def test_a_poll_cannot_be_headed(running: Running) -> None:
    """It would take a task that nobody hears of."""
    node = (await running.http.post("/nodes", json={"name": "n"}, headers=running.admin)).json()
    task = (await running.http.post("/tasks", json={"prompt": "x"}, headers=running.admin)).json()
    key = {"X-API-Key": node["api_key"]}
    answer = await running.http.head("/tasks/pending", headers=key)
    assert (answer.status_code, "HEAD" in answer.headers["allow"]) == (405, False)
    assert (await running.http.get("/tasks/pending", headers=key)).json()["task_id"] == task["id"]


def test_a_connection_goes_on_after_head(server: Server) -> None:
    with httpx2.Client(base_url=server.url) as http:
        head, get = http.head("/version"), http.get("/version")
    assert (head.status_code, head.content, get.status_code) == (200, b"", 200)
    assert get.json()["version"]
