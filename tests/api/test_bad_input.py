"""Whatever is sent, the answer is a clear 4xx problem and the database is as it was."""

import json
import re
from collections import defaultdict
from typing import Any

import pytest

from qb.contract.errors import PROBLEM_TYPE, Problem
from qb.contract.mismatches import WORDS
from qb.contract.routes import ROUTES, Caller
from qb.store.database import connect
from tests.api.conftest import Running
from tests.api.test_media import BAD

WITH_BODY = [route for route in ROUTES if route.request is not None]
UNKNOWN = "9d1f0a5e-0000-4000-8000-000000000000"
TASK_BODIES: dict[str, Any] = {
    "empty prompt": {"prompt": ""},
    "long prompt": {"prompt": "x" * 131_072},
    "NUL in prompt": {"prompt": "a\0b"},
    "NUL in a tag": {"prompt": "x", "target_tags": {"a": "\0"}},
    "file with a separator": {"prompt": "x", "files": ["../secret"]},
    "file with NUL": {"prompt": "x", "files": ["a\0"]},
    "file with a line break": {"prompt": "x", "files": ["a\nb"]},
    "file with a long name": {"prompt": "x", "files": ["x" * 256]},
    "file that was not uploaded": {"prompt": "x", "files": ["nowhere.csv"]},
    "negative time-out": {"prompt": "x", "timeout_seconds": -1},
    "priority as text": {"prompt": "x", "priority": "high"},
    "a time without a zone": {"prompt": "x", "scheduled_for": "2026-01-01T00:00:00"},
}


def contents(running: Running) -> list[str]:
    db = connect(running.core.settings.database, read_only=True)
    try:
        return [line for line in db.iterdump() if line.startswith("INSERT")]
    finally:
        db.close()


def assert_refused(answer: Any, what: str) -> None:
    assert 400 <= answer.status_code < 500, (what, answer.text)
    assert answer.headers["content-type"] == PROBLEM_TYPE, what
    problem = Problem.model_validate_json(answer.content)
    assert problem.detail, what
    assert "Traceback" not in answer.text, what


@pytest.fixture
async def node(running: Running) -> dict[str, str]:
    made = await running.http.post("/nodes", json={"name": "n"}, headers=running.admin)
    return {"X-API-Key": made.json()["api_key"]}


async def test_no_route_takes_json_that_is_not_strict(running: Running, node: dict[str, str]) -> None:
    before = contents(running)
    for route in WITH_BODY:
        headers = running.admin if Caller.ADMIN in route.callers else node
        path = route.path.format_map(defaultdict(lambda: UNKNOWN))
        for name, (body, _) in BAD.items():
            sent = {**headers, "Content-Type": "application/json"}
            answer = await running.http.request(route.method, path, content=body, headers=sent)
            assert_refused(answer, f"{route.name}: {name}")
        assert_refused(await running.http.request(route.method, path, content=b"[]", headers=headers), route.name)
    assert contents(running) == before


@pytest.mark.parametrize("name", TASK_BODIES)
async def test_a_task_that_cannot_be_is_not_made(name: str, running: Running) -> None:
    before = contents(running)
    assert_refused(await running.http.post("/tasks", json=TASK_BODIES[name], headers=running.admin), name)
    assert contents(running) == before


async def test_numbers_that_sqlite_cannot_hold_are_refused_in_text_too(running: Running, node: dict[str, str]) -> None:
    task = (await running.http.post("/tasks", json={"prompt": "x"}, headers=running.admin)).json()["id"]
    await running.http.get("/tasks/pending", headers=node)
    before = contents(running)
    for number in ("attempt", "seq"):
        body = {"task_id": task, "status": "running", "attempt": 1, number: "9" * 25}
        assert_refused(await running.http.post("/status", json=body, headers=node), number)
    assert contents(running) == before


@pytest.mark.parametrize("task_id", [UNKNOWN, "x", "%00", "a" * 300, "%ff", "..", "%F0%9F%A6%8A"])
async def test_an_unknown_id_is_not_found(task_id: str, running: Running) -> None:
    for path in ("/tasks/{}", "/tasks/{}/events", "/tasks/{}/output", "/tasks/{}/artifacts", "/logs/{}", "/nodes/{}"):
        answer = await running.http.get(path.format(task_id), headers=running.admin, follow_redirects=False)
        assert answer.status_code in (404, 422) or (task_id == ".." and answer.status_code < 500), path


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=99999999999999999999", "cursor=-1", "status_filter=done", "limit=%00"]
)
async def test_a_query_that_makes_no_sense_is_refused(query: str, running: Running) -> None:
    assert_refused(await running.http.get(f"/tasks?{query}", headers=running.admin), query)


async def test_readiness_says_what_is_wrong(running: Running) -> None:
    checks = {"database": "ok", "writer": "ok", "disk": "ok", "background": "ok"}
    assert (await running.http.get("/readyz")).json()["checks"] == checks
    running.core.stopping.set()
    answer = await running.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert (await running.http.get("/health")).status_code == 200


async def test_the_dashboard_is_a_redirect_or_said_to_be_missing(running: Running) -> None:
    assert_refused(await running.http.get("/dashboard"), "dashboard")


MISMATCHES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "NUL in a prompt": ("POST", "/tasks", {"json": {"prompt": "a\0b"}}, "prompt: holds a NUL character"),
    "a line break in a name": ("POST", "/nodes", {"json": {"name": "a\nb"}}, "name: holds a NUL or control character"),
    "a variable's name": ("POST", "/tasks", {"json": {"prompt": "x", "env": {"1A": "x"}}}, "env.1A: is no name"),
    "an id's beginning": ("GET", "/tasks?id_prefix=abc", {}, "id_prefix: is no beginning of an id: give 4 to 36"),
    "a cursor": ("GET", "/nodes?cursor=%21%21", {}, "cursor: is no cursor of this list: send the X-Next-Cursor"),
    "an empty idempotency key": (
        "POST",
        "/tasks",
        {"json": {"prompt": "x"}, "headers": {"Idempotency-Key": ""}},
        "Idempotency-Key: must be 1 to 255",
    ),
    "a long idempotency key": (
        "POST",
        "/tasks",
        {"json": {"prompt": "x"}, "headers": {"Idempotency-Key": "k" * 3000}},
        "Idempotency-Key: must be 1 to 255",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
async def test_text_that_does_not_match_is_refused_in_its_own_words(name: str, running: Running) -> None:
    method, path, sent, words = MISMATCHES[name]
    headers = running.admin | sent.get("headers", {})
    answer = await running.http.request(method, path, headers=headers, json=sent.get("json"))
    assert_refused(answer, name)
    assert words in answer.json()["detail"]


async def test_every_pattern_of_the_contract_has_its_words(running: Running) -> None:
    document = (await running.http.get("/openapi.json")).text
    patterns = {json.loads(f'"{found}"') for found in re.findall(r'"pattern": ?"((?:[^"\\]|\\.)*)"', document)}
    assert len(patterns) > 4
    assert patterns <= set(WORDS)


@pytest.mark.parametrize("image", ["", " ", "b a d", "--privileged", "a\nb", "x" * 512])
async def test_an_image_that_cannot_be_one_is_refused(running: Running, image: str) -> None:
    """The node would refuse it, once the task had come to its turn."""
    for path, more in (("/tasks", {}), ("/groups", {"each": "*"})):
        answer = await running.http.post(path, json={"prompt": "x", "image": image, **more}, headers=running.admin)
        assert_refused(answer, image)
        assert "image: is no image reference" in answer.json()["detail"]


@pytest.mark.parametrize("image", ["busybox", "localhost:5000/a/b:1.2", "ghcr.io/A/b@sha256:" + "0" * 64])
async def test_an_image_that_can_be_one_is_taken(running: Running, image: str) -> None:
    answer = await running.http.post("/tasks", json={"prompt": "x", "image": image}, headers=running.admin)
    assert (answer.status_code, answer.json()["image"]) == (201, image)
