"""Whatever /openapi.json allows or forbids is sent with every kind of credential: no 5xx, no undocumented answer."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from qb.contract.keys import Scope
from qb.contract.nodes import NodeCreate, Register
from qb.contract.routes import BY_NAME, Caller, Route
from tests.fixtures_server import Server, new_server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 5
"""Requests of each route, each way."""

CREDENTIALS = [caller for caller in Caller if caller is not Caller.ANYONE]
CREDENTIAL_HEADERS = ("X-API-Key", "X-Registration-Token")
numbers = count(1)
Things = dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A control plane of these tests' own: they fill it with nonsense."""
    own = new_server(tmp_path_factory.mktemp("schemathesis") / "qb")
    own.start()
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    """What the server says of itself."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def credential(server: Server, caller: Caller) -> tuple[dict[str, str], Things]:
    """Headers of such a caller, and the ids of things that it may ask about and spoil."""
    name = f"caller-{next(numbers)}"
    with server.http() as http, server.client() as admin, server.joining() as joining:
        node = joining.register(Register(hostname=name, wire=2, limits=True, slots=8))
        key = http.post("/keys", json={"name": name, "scopes": list(Scope)}).json()
        task = http.post("/tasks", json={"prompt": "x", "target_node_name": name}, headers=as_key(key)).json()
        group = http.post("/groups", json={"prompt": "x", "each": name}, headers=as_key(key)).json()
        things = {
            "task_id": task["id"],
            "group_id": group["id"],
            "node_id": admin.create_node(NodeCreate(name=f"spare-{name}")).id,
            "key_id": http.post("/keys", json={"name": "spare"}).json()["id"],
            "token_id": http.post("/registration-tokens", json={}).json()["id"],
        }
    with server.client(node.api_key) as runner:
        assignment = runner.poll()
    assert assignment is not None
    headers = {
        Caller.ADMIN: {"X-API-Key": server.admin_key},
        Caller.SCOPED: as_key(key),
        Caller.NODE: {"X-API-Key": node.api_key},
        Caller.AGENT: {"X-API-Key": str(assignment.task_token)},
        Caller.REGISTRATION: {"X-Registration-Token": server.registration_token},
    }[caller]
    return headers, things


def as_key(key: dict[str, str]) -> dict[str, str]:
    """Headers of an API key as POST /keys answered it."""
    return {"X-API-Key": key["api_key"]}


def send(case: Case, headers: dict[str, str], things: Things) -> None:
    """One request, about some of these things where it names such, and what its answer must be."""
    named = {part: things[part] for part in case.path_parameters if part in things}
    case.path_parameters = {**case.path_parameters, **named}
    if case.operation.definition.raw["operationId"] == "poll":
        case.query = {**case.query, "wait": "0"}  # nobody waits here
    if isinstance(case.body, dict) and isinstance(case.body.get("wait"), int | float):
        case.body = {**case.body, "wait": min(case.body["wait"], 0.01)}
    case.headers = {name: value for name, value in (case.headers or {}).items() if name not in CREDENTIAL_HEADERS}
    case.call_and_validate(headers=headers, checks=CHECKS, timeout=20)


def modes(route: Route, caller: Caller) -> list[tuple[GenerationMode, int]]:
    """How to ask and how often: who may not ask at all is refused before anything is read."""
    if caller in route.callers or Caller.ANYONE in route.callers:
        return [(mode, EXAMPLES) for mode in GenerationMode]
    return [(GenerationMode.POSITIVE, 1)]


@pytest.mark.parametrize("caller", CREDENTIALS)
def test_no_request_gets_an_answer_that_is_not_documented(caller: Caller, server: Server, schema: Any) -> None:
    headers, things = credential(server, caller)
    failures: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        route = BY_NAME[operation.definition.raw["operationId"]]
        for mode, examples in modes(route, caller):

            @settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
            def ask(case: Case, known: bool) -> None:
                send(case, headers, things if known else {})

            try:
                ask()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # nothing that could be sent here breaks the schema
            except FailureGroup as error:
                failures.append(f"{route.name} {mode}: {error}")
    assert not failures, "\n\n".join(failures)
