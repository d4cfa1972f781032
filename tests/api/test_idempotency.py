"""Idempotency-Key on POST /tasks: sent twice, made once."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Running


async def create(running: Running, key: str | None, prompt: str = "x") -> httpx2.Response:
    headers = running.admin | ({"Idempotency-Key": key} if key is not None else {})
    return await running.http.post("/tasks", json={"prompt": prompt}, headers=headers)


async def count(running: Running) -> int:
    return len((await running.http.get("/tasks", headers=running.admin)).json())


async def test_the_same_key_and_body_make_one_task(running: Running) -> None:
    first, second = await create(running, "k"), await create(running, "k")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    await running.http.delete(f"/tasks/{first.json()['id']}", headers=running.admin)
    assert (await create(running, "k")).json()["status"] == "cancelled"
    assert await count(running) == 1


async def test_doubles_that_come_at_once_make_one_task(running: Running) -> None:
    answers = await asyncio.gather(*(create(running, "k") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await count(running) == 1


async def test_a_key_with_another_body_is_refused_and_names_the_task(running: Running) -> None:
    first = await create(running, "k")
    answer = await create(running, "k", "y")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert first.json()["id"] in answer.json()["detail"]
    assert await count(running) == 1


async def test_other_keys_and_no_key_make_other_tasks(running: Running) -> None:
    answers = [await create(running, key) for key in ("k", "K", None, None)]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert await count(running) == 4


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
async def test_a_key_that_cannot_be_is_refused(running: Running, key: str) -> None:
    headers: Any = [("X-API-Key", running.made.admin_key.encode()), ("Idempotency-Key", key.encode())]
    answer = await running.http.post("/tasks", json={"prompt": "x"}, headers=headers)
    assert (answer.status_code, await count(running)) == (400, 0)


async def test_a_refused_request_uses_no_key_up(running: Running) -> None:
    headers = running.admin | {"Idempotency-Key": "k"}
    answer = await running.http.post("/tasks", json={"prompt": "x", "files": ["none"]}, headers=headers)
    assert answer.status_code == 422
    assert (await create(running, "k")).status_code == 201
