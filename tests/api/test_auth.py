"""Default deny: every route against every kind of caller, on the whole application."""

import asyncio
import re
from uuid import uuid4

import httpx2
import pytest

from qb.api.app import open_routes
from qb.api.asgi import Api
from qb.api.auth import Door, UndeclaredRoute, add_routes
from qb.api.health import VersionResource
from qb.contract.routes import ROUTES, Caller, Route
from qb.domain.times import utc_now
from qb.service.audit import Audit
from qb.service.gate import REPLACED_KEY_MAY, Gate
from tests.api.conftest import Running

CLOSED = [route for route in ROUTES if Caller.ANYONE not in route.callers]
NODE = str(uuid4())
KINDS = [Caller.ADMIN, Caller.NODE, Caller.AGENT, Caller.REGISTRATION]


async def call(running: Running, route: Route, headers: dict[str, str]) -> httpx2.Response:
    path = re.sub(r"\{\w+\}", lambda _: str(uuid4()), route.path)
    async with asyncio.timeout(10):
        return await running.http.request(route.method, path, headers=headers)


def credential(running: Running, kind: Caller) -> dict[str, str]:
    known = running.core.credentials
    known.know_node(NODE, 2)
    return {
        Caller.ADMIN: running.admin,
        Caller.NODE: {"X-API-Key": known.node_key(NODE, 2)},
        Caller.AGENT: {"X-API-Key": known.task_token(str(uuid4()), 1, lifetime=None, now=utc_now())},
        Caller.REGISTRATION: {"X-Registration-Token": running.made.registration_token},
    }[kind]


async def test_every_route_that_the_contract_says_is_served_is_served(running: Running) -> None:
    responders, _ = await open_routes(running.core)
    assert set(responders) == {route.name for route in ROUTES}


async def test_a_route_without_a_row_cannot_be_added(running: Running) -> None:
    door = Door(running.core.credentials, Gate(running.core), Audit(running.core))
    with pytest.raises(UndeclaredRoute, match="'secret_door' has no row"):
        add_routes(Api(), {"secret_door": VersionResource().on_get}, door)


async def test_every_closed_route_wants_a_credential(running: Running) -> None:
    for route in CLOSED:
        for headers in ({}, {"X-API-Key": "qba_wrong"}, {"X-API-Key": ""}):
            answer = await call(running, route, headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), route.name


@pytest.mark.parametrize("kind", KINDS)
async def test_every_route_refuses_each_caller_that_its_row_does_not_name(kind: Caller, running: Running) -> None:
    headers = credential(running, kind)
    for route in CLOSED:
        if route.name == "poll" and kind is Caller.NODE:
            continue  # the node of this test is not registered: see the tests of dispatch
        answer = await call(running, route, headers)
        if kind in route.callers:
            assert answer.status_code not in (401, 403) or route.name == "register", route.name
        elif kind is Caller.REGISTRATION:
            assert answer.status_code == 401, route.name
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), route.name


async def test_a_replaced_node_key_may_only_report(running: Running) -> None:
    running.core.credentials.know_node(NODE, 2)
    headers = {"X-API-Key": running.core.credentials.node_key(NODE, 1)}
    for route in CLOSED:
        if Caller.NODE not in route.callers:
            continue
        answer = await call(running, route, headers)
        assert (answer.status_code == 401) == (route.name not in REPLACED_KEY_MAY), route.name


async def test_open_routes_ask_for_nothing(running: Running) -> None:
    for route in ROUTES:
        if Caller.ANYONE in route.callers and route.name != "dashboard":
            assert (await call(running, route, {})).status_code == 200, route.name


async def test_refusals_change_nothing(running: Running) -> None:
    before = await running.core.readers.run(lambda db: db.execute("SELECT total_changes()").fetchone()[0])
    for route in CLOSED:
        await call(running, route, {"X-API-Key": "qba_wrong"})
    counts = "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM nodes) + (SELECT count(*) FROM uploads)"
    assert before == 0
    assert (await running.core.readers.run(lambda db: db.execute(counts).fetchone()[0])) == 0


async def test_every_answer_carries_the_request_id(running: Running) -> None:
    answer = await running.http.get("/tasks", headers={**running.admin, "X-Request-ID": "trace-7"})
    assert answer.headers["x-request-id"] == "trace-7"
    first, second = [(await running.http.get("/version")).headers["x-request-id"] for _ in range(2)]
    assert first != second
