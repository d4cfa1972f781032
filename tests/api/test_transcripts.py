"""Crush sessions over HTTP: before or after the end, in either unit of time, stale or not."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Running, serving
from tests.api.test_files import Held, hold
from tests.api.test_output import end

LATER = 4_000_000_000
EARLIER = 1_000_000_000


def session(number: str = "s1", **more: Any) -> dict[str, Any]:
    message = {"id": "m1", "role": "user", "content": '[{"type": "text"}]', "model": None, "created_at": LATER}
    return {
        "id": number,
        "title": "Sum up",
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cost": 0.25,
        "created_at": LATER,
        "updated_at": LATER,
        "messages": [message],
        **more,
    }


async def send(running: Running, task: Held, body: dict[str, Any], *, key: dict[str, str] | None = None) -> Any:
    answer = await post(running, {"task_id": task.id, "session": body}, key or task.node)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(running: Running, body: Any, key: dict[str, str]) -> httpx2.Response:
    return await running.http.post("/logs", headers=key, json=body)


async def shown(running: Running, task: Held) -> dict[str, Any]:
    found: dict[str, Any] = (await running.http.get(f"/tasks/{task.id}", headers=running.admin)).json()
    return found


async def logs(running: Running, task: Held) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await running.http.get(f"/logs/{task.id}", headers=running.admin)).json()
    return found


async def test_a_session_is_kept_with_its_messages_and_its_cost_is_the_tasks(running: Running) -> None:
    task = await hold(running)
    kept = await send(running, task, session())
    assert (kept["message_count"], kept["stale"], kept["task_id"]) == (1, False, task.id)
    [log] = await logs(running, task)
    assert log == kept | {"messages": log["messages"]}
    assert log["messages"][0]["content"] == '[{"type": "text"}]'
    after = await shown(running, task)
    assert (after["cost"], after["tokens"], after["crush_session_id"]) == (0.25, 120, "s1")
    events = (await running.http.get(f"/tasks/{task.id}/events", headers=running.admin)).json()
    assert [event["source"] for event in events if event["kind"] == "session"] == ["runner"]


async def test_a_session_sent_again_replaces_what_was_known_of_it(running: Running) -> None:
    task = await hold(running)
    await send(running, task, session())
    await send(running, task, session(cost=1.5, messages=[]), key=task.agent)
    assert [(log["cost"], log["messages"]) for log in await logs(running, task)] == [(1.5, [])]
    assert (await shown(running, task))["cost"] == 1.5


async def test_the_costs_of_all_sessions_add_up(running: Running) -> None:
    task = await hold(running)
    for number in ("s1", "s2"):
        await send(running, task, session(number))
    after = await shown(running, task)
    assert (after["cost"], after["tokens"]) == (0.5, 240)


async def test_a_sub_agents_cost_is_in_its_parents_and_its_tokens_are_its_own(running: Running) -> None:
    task = await hold(running)
    for number, parent, cost in (("grandchild", "child", 0.1), ("child", "s1", 0.5), ("s1", None, 2.0)):
        await send(running, task, session(number, parent_session_id=parent, cost=cost))
    await send(running, task, session("orphan", parent_session_id="unknown", cost=1.0))
    after = await shown(running, task)
    assert (after["cost"], after["tokens"]) == (3.0, 480)
    assert {log["id"]: log["parent_session_id"] for log in await logs(running, task)} == {
        "grandchild": "child", "child": "s1", "s1": None, "orphan": "unknown"
    }  # fmt: skip


async def test_sessions_that_call_each_other_their_parent_cost_what_they_say(running: Running) -> None:
    task = await hold(running)
    for number, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        await send(running, task, session(number, parent_session_id=parent, cost=1.0))
    assert (await shown(running, task))["cost"] == 3.0


@pytest.mark.parametrize("base", ["https://crush.example", "https://crush.example/"])
async def test_a_task_links_to_its_session_where_a_crush_server_is_configured(tmp_path: Path, base: str) -> None:
    async with serving(tmp_path / "qb", crush_server_url=base) as running:
        task = await hold(running)
        assert (await shown(running, task))["crush_url"] is None
        await send(running, task, session("s/1?"))
        link = "https://crush.example/sessions/s%2F1%3F"
        assert (await shown(running, task))["crush_url"] == link
        listed = (await running.http.get("/tasks", headers=running.admin)).json()
        assert [each["crush_url"] for each in listed] == [link]
    elsewhere = {"crush_server_url": base, "crush_session_path": "/chat?id={session}"}
    async with serving(tmp_path / "qb", running.made, **elsewhere) as running:
        assert (await shown(running, task))["crush_url"] == "https://crush.example/chat?id=s%2F1%3F"
    async with serving(tmp_path / "qb", running.made) as running:
        assert (await shown(running, task))["crush_url"] is None


async def test_a_session_is_taken_after_the_end_of_the_task(running: Running) -> None:
    task = await hold(running)
    await end(running, task)
    await send(running, task, session())
    after = await shown(running, task)
    assert (after["status"], after["tokens"]) == ("success", 120)


@pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
async def test_a_session_older_than_the_attempt_is_stale_and_costs_nothing(running: Running, unit: int) -> None:
    task = await hold(running)
    kept = await send(running, task, session(created_at=EARLIER * unit, updated_at=EARLIER * unit))
    assert kept["stale"] is True
    after = await shown(running, task)
    assert (after["cost"], after["tokens"], after["crush_session_id"]) == (None, None, None)
    assert (await send(running, task, session("s2", updated_at=LATER * unit)))["stale"] is False


async def test_a_session_without_times_or_figures_is_taken(running: Running) -> None:
    task = await hold(running)
    kept = await send(running, task, {"id": "bare"})
    assert (kept["stale"], kept["cost"], kept["prompt_tokens"], kept["message_count"]) == (False, 0, 0, 0)


async def test_figures_beyond_reason_are_cut_so_that_sums_stay_sums(running: Running) -> None:
    task = await hold(running)
    most = (1 << 63) - 1
    for number in ("s1", "s2"):
        await send(running, task, session(number, prompt_tokens=most, completion_tokens=-5, cost=1e308))
    after = await shown(running, task)
    assert (after["tokens"], after["cost"]) == (2 * 10**12, 2e9)


async def test_text_that_the_database_cannot_hold_is_shown_as_replaced(running: Running) -> None:
    task = await hold(running)
    message = {"id": "m", "content": "a\x00b"}
    await send(running, task, session(title="t\x00", messages=[message]))
    [log] = await logs(running, task)
    assert (log["title"], log["messages"][0]["content"]) == ("t\ufffd", "a\ufffdb")


async def test_a_long_transcript_comes_back_in_order(running: Running) -> None:
    task = await hold(running)
    messages = [{"id": f"m{number}", "content": "x" * 5000} for number in range(3000)]
    assert (await send(running, task, session(messages=messages)))["message_count"] == 3000
    [log] = await logs(running, task)
    assert [message["id"] for message in log["messages"]] == [message["id"] for message in messages]


async def test_a_transcript_of_almost_32_mib_is_taken_and_a_longer_one_refused_whole(running: Running) -> None:
    task = await hold(running)
    messages = [{"id": f"m{number}", "content": "x" * (1 << 20)} for number in range(31)]
    assert (await send(running, task, session(messages=messages)))["message_count"] == 31
    longer = {"task_id": task.id, "session": session(messages=[*messages, *messages[:2]], cost=9.0)}
    answer = await post(running, longer, task.node)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    [log] = await logs(running, task)
    assert [len(message["content"]) for message in log["messages"]] == [1 << 20] * 31
    assert (await shown(running, task))["cost"] == 0.25


async def test_job_id_names_the_task_too_and_both_must_agree(running: Running) -> None:
    task = await hold(running)
    assert (await post(running, {"job_id": task.id, "session": session()}, task.node)).status_code == 200
    body = {"job_id": task.id, "task_id": "other", "session": session()}
    assert (await post(running, body, task.node)).status_code == 422
    assert (await post(running, {"session": session()}, task.node)).status_code == 422


async def test_the_session_of_a_foreign_or_unknown_task_is_not_found(running: Running) -> None:
    task, stranger = await hold(running), await hold(running, "stranger")
    for key in (stranger.node, stranger.agent):
        for task_id in (task.id, "none"):
            assert (await post(running, {"task_id": task_id, "session": session()}, key)).status_code == 404
    assert await logs(running, task) == []
    assert (await running.http.get("/logs/none", headers=running.admin)).status_code == 404
