"""Questions of agents to operators, and metrics, over HTTP: who sees what, what is bounded, what is a duplicate."""

import sqlite3
from typing import Any

import httpx2
import pytest

from qb.contract.questions import MOST_OPEN
from qb.contract.task_metrics import MOST_NAMES, MOST_POINTS
from tests.api.conftest import Running
from tests.api.test_files import Held, hold
from tests.api.test_output import end


async def ask(running: Running, task: Held, key: str = "k1", **more: Any) -> httpx2.Response:
    body = {"question": "Delete the 12 duplicates?", "key": key, **more}
    return await running.http.post(f"/tasks/{task.id}/questions", headers=task.agent, json=body)


async def asked(running: Running, task: Held, key: str = "k1", **more: Any) -> dict[str, Any]:
    answer = await ask(running, task, key, **more)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def answer(running: Running, task: Held, question: str, text: str = "yes") -> httpx2.Response:
    path = f"/tasks/{task.id}/questions/{question}/answer"
    return await running.http.post(path, headers=running.admin, json={"answer": text})


async def get(running: Running, path: str, key: dict[str, str]) -> Any:
    found = await running.http.get(path, headers=key)
    assert found.status_code == 200, found.text
    return found.json()


async def log(running: Running, task: Held, seq: int, value: Any = 1, name: str = "rows") -> httpx2.Response:
    body = {"name": name, "value": value, "seq": seq}
    return await running.http.post(f"/tasks/{task.id}/metrics", headers=task.agent, json=body)


async def test_a_question_shows_on_its_task_until_the_answer_which_the_agent_reads(running: Running) -> None:
    task = await hold(running)
    question = await asked(running, task, options=["yes", "no"])
    assert (question["open"], question["options"], question["answer"]) == (True, ["yes", "no"], None)
    path = f"/tasks/{task.id}"
    assert (await get(running, path, running.admin))["waiting_until"] == question["expires_at"]
    assert (await answer(running, task, question["id"], "only the old ones")).status_code == 200
    read = await get(running, f"{path}/questions/{question['id']}", task.agent)
    assert (read["open"], read["answer"], read["answered_by"]) == (False, "only the old ones", "admin")
    assert (await get(running, path, running.admin))["waiting_until"] is None
    events = await get(running, f"{path}/events", running.admin)
    assert [(e["source"], e["message"]) for e in events if e["kind"] in ("question", "answer")] == [
        ("agent", "Delete the 12 duplicates?"),
        ("operator", "only the old ones"),
    ]


async def test_the_same_key_again_is_the_same_question(running: Running) -> None:
    task = await hold(running)
    first = await asked(running, task)
    assert (await asked(running, task))["id"] == first["id"]
    assert (await asked(running, task, "k2"))["id"] != first["id"]
    assert len(await get(running, f"/tasks/{task.id}/questions", running.admin)) == 2


async def test_a_question_is_answered_once(running: Running) -> None:
    task = await hold(running)
    question = await asked(running, task)
    assert (await answer(running, task, question["id"])).status_code == 200
    again = await answer(running, task, question["id"], "no")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert "admin has answered it" in again.json()["detail"]


async def test_a_question_closes_with_its_task(running: Running) -> None:
    task = await hold(running)
    question = await asked(running, task)
    await end(running, task)
    assert (await answer(running, task, question["id"])).status_code == 409
    assert (await get(running, f"/tasks/{task.id}", running.admin))["waiting_until"] is None
    late = await ask(running, task, "k2")
    assert (late.status_code, late.json()["code"]) == (409, "already_ended")


async def test_a_question_past_its_time_takes_no_answer_and_makes_room(running: Running) -> None:
    task = await hold(running)
    questions = [await asked(running, task, f"k{number}") for number in range(MOST_OPEN)]
    full = await ask(running, task, "one more")
    assert (full.status_code, full.json()["code"]) == (409, "conflict")
    with sqlite3.connect(running.core.settings.database) as db:
        db.execute("UPDATE task_questions SET expires_at = asked_at WHERE id = ?", (questions[0]["id"],))
    assert (await answer(running, task, questions[0]["id"])).status_code == 409
    await asked(running, task, "one more")


@pytest.mark.parametrize(
    "body",
    [
        {"question": " ", "key": "k"},
        {"question": "x" * 2001, "key": "k"},
        {"question": "x"},
        {"question": "x", "key": "k", "options": ["a"] * 21},
        {"question": "x", "key": "k", "options": ["a" * 201]},
        {"question": "x", "key": "k", "timeout_seconds": 0},
        {"question": "x", "key": "k", "timeout_seconds": 86_401},
    ],
)
async def test_a_question_out_of_bounds_is_refused(running: Running, body: dict[str, Any]) -> None:
    task = await hold(running)
    refused = await running.http.post(f"/tasks/{task.id}/questions", headers=task.agent, json=body)
    assert refused.status_code == 422


async def test_a_cancelled_task_tells_the_agent_that_waits(running: Running) -> None:
    task = await hold(running)
    question = await asked(running, task)
    await running.http.delete(f"/tasks/{task.id}", headers=running.admin)
    assert (await get(running, f"/tasks/{task.id}/questions/{question['id']}", task.agent))["cancel_requested"] is True


async def test_metrics_are_summed_up_by_name_and_a_point_sent_again_counts_once(running: Running) -> None:
    task = await hold(running)
    for seq, value in ((1, 10), (2, 30.5), (2, 99), (3, 20)):
        assert (await log(running, task, seq, value)).status_code == 201
    last = (await log(running, task, 4, -1, "score")).json()
    rows, score = await get(running, f"/tasks/{task.id}/metrics", running.admin)
    assert score == last
    assert (rows["name"], rows["value"], rows["count"], rows["least"], rows["most"]) == ("rows", 20, 3, 10, 30.5)


@pytest.mark.parametrize("more", [{"value": "NaN"}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 65}, {"value": "x"}])
async def test_a_metric_that_is_none_is_refused(running: Running, more: dict[str, Any]) -> None:
    task = await hold(running)
    refused = await log(running, task, 1, **more)
    assert refused.status_code == 422


async def test_metrics_are_bounded_in_names_and_points(running: Running) -> None:
    task = await hold(running)
    await log(running, task, 0)
    with sqlite3.connect(running.core.settings.database) as db:
        add = "INSERT INTO task_metrics (task_id, name, attempt, seq, value, at) VALUES (?, ?, 1, ?, 1, 'now')"
        db.executemany(add, [(task.id, f"m{seq}", seq) for seq in range(1, MOST_NAMES)])
    assert (await log(running, task, 200, name="new")).status_code == 409
    assert (await log(running, task, 200)).status_code == 201
    with sqlite3.connect(running.core.settings.database) as db:
        db.executemany(add, [(task.id, "rows", seq) for seq in range(1000, 1000 + MOST_POINTS)])
    refused = await log(running, task, 201)
    assert refused.status_code == 409 and "log less often" in refused.json()["detail"]
