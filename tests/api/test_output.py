"""A task's output over HTTP: in order, once, in pages and as a stream that resumes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.api.conftest import Running
from tests.api.test_files import Held, hold


def chunk(seq: int, text: str = "", stream: str = "stdout") -> dict[str, Any]:
    return {"seq": seq, "stream": stream, "at": "2026-01-01T12:00:00Z", "text": text or f"line {seq}\n"}


async def send(running: Running, task: Held, *seqs: int, attempt: int = 1) -> int:
    body = {"attempt": attempt, "chunks": [chunk(seq) for seq in seqs]}
    answer = await running.http.post(f"/tasks/{task.id}/output", headers=task.node, json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["accepted_to"])


async def page(running: Running, task_id: str, **params: int) -> list[dict[str, Any]]:
    answer = await running.http.get(
        f"/tasks/{task_id}/output", headers=running.admin, params={key: str(value) for key, value in params.items()}
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def end(running: Running, task: Held) -> None:
    for status in ("running", "success"):
        report = {"task_id": task.id, "status": status, "attempt": 1}
        assert (await running.http.post("/status", headers=task.node, json=report)).status_code == 200


async def test_output_is_kept_in_order_and_answers_how_far_it_goes(running: Running) -> None:
    task = await hold(running)
    assert await send(running, task, 2, 1) == 2
    assert await send(running, task, 3) == 3
    assert [line["text"] for line in await page(running, task.id)] == ["line 1\n", "line 2\n", "line 3\n"]


async def test_chunks_sent_twice_are_kept_once(running: Running) -> None:
    task = await hold(running)
    await send(running, task, 1, 1, 2)
    assert await send(running, task, 1, 2, 3) == 3
    assert [line["seq"] for line in await page(running, task.id)] == [1, 2, 3]


async def test_what_follows_a_gap_is_not_kept_until_the_gap_is_filled(running: Running) -> None:
    task = await hold(running)
    assert await send(running, task, 1, 3) == 1
    assert await send(running, task, 5) == 1
    assert await send(running, task, 2, 3) == 3
    assert [line["seq"] for line in await page(running, task.id)] == [1, 2, 3]


async def test_no_chunks_at_all_tell_how_far_it_goes(running: Running) -> None:
    task = await hold(running)
    assert await send(running, task) == 0


async def test_output_is_taken_after_the_end_of_the_task(running: Running) -> None:
    task = await hold(running)
    await end(running, task)
    assert await send(running, task, 1) == 1


async def test_a_foreign_task_and_an_attempt_never_held_are_not_found(running: Running) -> None:
    task, stranger = await hold(running), await hold(running, "stranger")
    for headers, attempt in ((stranger.node, 1), (task.node, 2)):
        body = {"attempt": attempt, "chunks": [chunk(1)]}
        answer = await running.http.post(f"/tasks/{task.id}/output", headers=headers, json=body)
        assert answer.status_code == 404
    assert await page(running, task.id) == []


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": 0},
        {"chunks": [chunk(0)]},
        {"chunks": [chunk(1, stream="elsewhere")]},
        {"chunks": [chunk(1)] * 1001},
        {"chunks": [chunk(1, "x" * ((1 << 20) + 1))]},
        {"chunks": None},
    ],
    ids=["attempt 0", "seq 0", "unknown stream", "1001 chunks", "a text over 1 MiB", "no chunks"],
)
async def test_a_batch_that_cannot_be_is_refused(running: Running, change: dict[str, Any]) -> None:
    task = await hold(running)
    body = {"attempt": 1, "chunks": [chunk(1)], **change}
    answer = await running.http.post(f"/tasks/{task.id}/output", headers=task.node, json=body)
    assert answer.status_code == 422
    assert await page(running, task.id) == []


async def test_pages_follow_each_other_among_the_output_of_other_tasks(running: Running) -> None:
    one, other = await hold(running), await hold(running, "other")
    for seq in range(1, 8):
        await send(running, one, seq)
        await send(running, other, seq)
    found: list[dict[str, Any]] = []
    while more := await page(running, one.id, after=found[-1]["id"] if found else 0, limit=2):
        assert len(more) <= 2
        found += more
    assert [line["seq"] for line in found] == [1, 2, 3, 4, 5, 6, 7]
    for line in found:
        after = await page(running, one.id, after=line["id"])
        assert [each["seq"] for each in after] == list(range(line["seq"] + 1, 8))


async def test_a_page_of_long_texts_ends_early_and_goes_on_where_it_ended(running: Running) -> None:
    task = await hold(running)
    for seq in range(1, 11):
        body = {"attempt": 1, "chunks": [chunk(seq, "x" * (1 << 20))]}
        await running.http.post(f"/tasks/{task.id}/output", headers=task.node, json=body)
    first = await page(running, task.id)
    assert [line["seq"] for line in first] == [1, 2]
    seqs = [1, 2]
    while more := await page(running, task.id, after=first[-1]["id"]):
        seqs += [line["seq"] for line in more]
        first = more
    assert seqs == list(range(1, 11))


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=5001", "after=" + "9" * 30, "limit=%C2%B2"])
async def test_a_page_that_cannot_be_is_refused(running: Running, query: str) -> None:
    task = await hold(running)
    answer = await running.http.get(f"/tasks/{task.id}/output?{query}", headers=running.admin)
    assert answer.status_code == 400


async def test_the_output_of_an_unknown_task_is_not_found(running: Running) -> None:
    for accept in ("application/json", "text/event-stream"):
        answer = await running.http.get("/tasks/none/output", headers={**running.admin, "Accept": accept})
        assert answer.status_code == 404


# streams: read from the application itself, since httpx2's ASGI transport waits for the whole answer


async def follow(running: Running, task_id: str, last: str | None = None) -> AsyncIterator[tuple[str, Any]]:
    """(id or "end", data) of each event, as they come."""
    headers = [(b"accept", b"text/event-stream"), (b"x-api-key", running.made.admin_key.encode())]
    if last is not None:
        headers.append((b"last-event-id", last.encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "path": f"/tasks/{task_id}/output", "raw_path": b"", "query_string": b"", "headers": headers,
        "scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    gone = asyncio.Event()
    first = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if first:
            return first.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    task = asyncio.create_task(running.app(scope, receive, sent.put))
    try:
        assert (await asyncio.wait_for(sent.get(), 10))["type"] == "http.response.start"
        while (message := await asyncio.wait_for(sent.get(), 10)).get("more_body"):
            for event in message.get("body", b"").decode().split("\n\n"):
                lines = dict(line.split(": ", 1) for line in event.split("\n") if line and not line.startswith(":"))
                if lines:
                    yield lines.get("id") or lines["event"], json.loads(lines["data"])
    finally:
        gone.set()
        await asyncio.wait_for(task, 10)


async def take(running: Running, task: Held, count: int, last: str | None = None) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async with aclosing(follow(running, task.id, last)) as stream:  # type: ignore[type-var]
        async for event in stream:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_a_stream_follows_the_output_and_ends_with_the_task(running: Running) -> None:
    task = await hold(running)
    await send(running, task, 1)
    seen: list[Any] = []
    async with aclosing(follow(running, task.id)) as stream:  # type: ignore[type-var]
        async for number, data in stream:
            seen.append("end" if number == "end" else data["seq"])
            if seen == [1]:
                await send(running, task, 2, 3)
            if seen == [1, 2, 3]:
                await end(running, task)
    assert seen == [1, 2, 3, "end"]


async def test_a_stream_resumes_after_the_event_it_saw_last(running: Running) -> None:
    task = await hold(running)
    await send(running, task, 1, 2)
    (number, first), *_ = await take(running, task, 1)
    assert first["seq"] == 1
    await send(running, task, 3)
    assert [data["seq"] for _, data in await take(running, task, 2, last=number)] == [2, 3]


async def test_a_stream_sends_the_very_rows_of_the_array(running: Running) -> None:
    task = await hold(running)
    await send(running, task, 1, 2)
    assert [data for _, data in await take(running, task, 2)] == await page(running, task.id)


async def test_line_breaks_and_colours_in_the_output_do_not_break_the_stream(running: Running) -> None:
    task = await hold(running)
    text = "a\r\n\n\u2028id: 9\x1b[31m\nevent: end\x00"
    body = {"attempt": 1, "chunks": [chunk(1, text)]}
    await running.http.post(f"/tasks/{task.id}/output", headers=task.node, json=body)
    [(_, data)] = await take(running, task, 1)
    assert data["text"] == text.replace("\x00", "\ufffd")
