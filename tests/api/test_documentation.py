"""/openapi.json and /docs say what the route table says, and load nothing."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from qb.api.app import open_routes
from qb.contract.queries import TaskFilters
from qb.contract.routes import BY_NAME, ROUTES, Caller
from tests.api.conftest import Running


@pytest.fixture
async def document(running: Running) -> dict[str, Any]:
    answer = await running.http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def operation(document: dict[str, Any], name: str) -> dict[str, Any]:
    route = BY_NAME[name]
    found: dict[str, Any] = document["paths"][route.path][route.method.lower()]
    return found


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["$ref"] for _ in range("$ref" in value))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from refs(each)


async def test_every_served_route_is_described_and_no_other(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path, each["operationId"])
        for path, methods in document["paths"].items()
        for method, each in methods.items()
    }
    assert described == {(route.method, route.path, route.name) for route in ROUTES}


async def test_each_route_says_who_may_call_it(document: dict[str, Any]) -> None:
    for route in ROUTES:
        found = operation(document, route.name)
        assert len(found["security"]) == len(route.callers - {Caller.ANYONE}), route.name
        assert set(found["responses"]) >= {str(route.status), "500"}, route.name
        assert ("401" in found["responses"]) >= (Caller.ANYONE not in route.callers), route.name


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(refs(document))
    assert found
    for ref in found:
        place: Any = document
        for part in ref.removeprefix("#/").split("/"):
            place = place[part]


async def test_parameters_are_those_that_queries_are_read_with(document: dict[str, Any]) -> None:
    parameters = {each["name"]: each for each in operation(document, "list_tasks")["parameters"]}
    assert set(parameters) == set(TaskFilters.model_fields)
    assert parameters["limit"]["schema"] == {"default": 200, "minimum": 1, "maximum": 1000, "type": "integer"}
    headers = {each["name"] for each in operation(document, "create_task")["parameters"]}
    assert headers == {"Idempotency-Key", "X-Task-Token"}
    assert operation(document, "show_task")["parameters"][0]["in"] == "path"


async def test_streams_bytes_and_forms_are_told_apart(document: dict[str, Any]) -> None:
    assert set(operation(document, "task_output")["responses"]["200"]["content"]) == {
        "application/json",
        "text/event-stream",
    }
    assert set(operation(document, "get_artifact")["responses"]["200"]["content"]) == {"application/octet-stream"}
    assert set(operation(document, "upload")["requestBody"]["content"]) == {"multipart/form-data"}
    poll = operation(document, "poll")["responses"]["200"]["content"]["application/json"]["schema"]
    assert {"type": "null"} in poll["anyOf"]


async def test_every_responder_says_what_it_does(running: Running) -> None:
    responders, _ = await open_routes(running.core)
    assert [name for name, responder in responders.items() if not (responder.__doc__ or "").strip()] == []


async def test_the_page_shows_every_route_and_model_and_loads_nothing(
    running: Running, document: dict[str, Any]
) -> None:
    answer = await running.http.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for route in ROUTES:
        assert f"id='{route.name}'" in answer.text
    for model in document["components"]["schemas"]:
        assert f"id='{model}'" in answer.text
    assert not re.search(r"(src|href)=['\"]?(https?:)?//|@import|url\(", answer.text)
    targets = set(re.findall(r"href='#([^']+)'", answer.text))
    assert targets <= set(re.findall(r"id='([^']+)'", answer.text))
