"""Lists come in pages that lead on, through the API and through the client; what a query may not hold is refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from qb.client import QbClient
from qb.contract.nodes import NodeCreate
from qb.contract.tasks import TaskCreate
from tests.api.conftest import Running
from tests.fixtures_server import Server


async def whole(running: Running, path: str, **params: Any) -> list[Any]:
    found: list[Any] = []
    for _ in range(100):
        answer = await running.http.get(path, params=params, headers=running.admin)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()) <= params.get("limit", 1000)
        found += answer.json()
        if "x-next-cursor" not in answer.headers:
            return found
        params["cursor"] = answer.headers["x-next-cursor"]
    raise AssertionError(f"the pages of {path} do not end")


async def test_pages_of_tasks_hold_each_task_once_newest_first(running: Running) -> None:
    for number in range(7):
        await running.http.post("/tasks", json={"prompt": f"number {number}"}, headers=running.admin)
    prompts = [task["prompt"] for task in await whole(running, "/tasks", limit=3)]
    assert prompts == [f"number {number}" for number in reversed(range(7))]
    assert [task["prompt"] for task in await whole(running, "/tasks", limit=1, text="NUMBER 3")] == ["number 3"]


async def test_pages_of_nodes_go_by_name_whatever_the_names_hold(running: Running) -> None:
    names = sorted(["a", "a b", "ä&ö=?", "z/1", "名前", "%41", "+"])
    for name in names:
        await running.http.post("/nodes", json={"name": name}, headers=running.admin)
    assert [node["name"] for node in await whole(running, "/nodes", limit=2)] == names


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/keys", {"name": "acme"}),
        ("/registration-tokens", {"description": "acme"}),
        ("/webhooks", {"url": "https://1.1.1.1/hook"}),
    ],
)
async def test_pages_of_what_is_listed_by_age_hold_each_once(running: Running, path: str, body: dict[str, str]) -> None:
    made = [(await running.http.post(path, json=body, headers=running.admin)).json()["id"] for _ in range(5)]
    listed = [each["id"] for each in await whole(running, path, limit=2)]
    assert listed == [each["id"] for each in (await running.http.get(path, headers=running.admin)).json()]
    assert sorted(set(listed) & set(made)) == sorted(made)
    assert len(listed) == len(set(listed))
    assert (await running.http.get(f"{path}?cursor=*", headers=running.admin)).status_code == 400


async def test_pages_of_a_history_lead_to_its_end(running: Running) -> None:
    task = (await running.http.post("/tasks", json={"prompt": "x"}, headers=running.admin)).json()["id"]
    await running.http.delete(f"/tasks/{task}", headers=running.admin)
    history = await whole(running, f"/tasks/{task}/events")
    assert [event["id"] for event in await whole(running, f"/tasks/{task}/events", limit=1)] == [
        event["id"] for event in history
    ]


@pytest.mark.parametrize(
    "query",
    [
        "statusfilter=error",
        "status_filter=error&status_filter=success",
        "tag=site",
        "tag=%3Drome",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "until=0001-01-01T00:00:00%2B14:00",
        "id_prefix=abc",
        "id_prefix=zzzz",
        "text=",
        "text=%00",
        "cursor=x",
        "limit=1001",
    ],
)
async def test_a_filter_that_cannot_be_is_refused_by_name(query: str, running: Running) -> None:
    answer = await running.http.get(f"/tasks?{query}", headers=running.admin)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert query.partition("=")[0] in answer.json()["detail"]


async def test_a_poll_ignores_what_a_newer_runner_may_say(running: Running) -> None:
    made = await running.http.post("/nodes", json={"name": "n"}, headers=running.admin)
    node = {"X-API-Key": made.json()["api_key"]}
    answer = await running.http.get("/tasks/pending?wait=0&held=²:²,:1,x:0,y&mood=good", headers=node)
    assert (answer.status_code, answer.json()) == (200, None)
    assert (await running.http.get("/tasks/pending?wait=inf", headers=node)).status_code == 400


async def test_a_tag_says_whether_a_task_is_as_it_was(running: Running) -> None:
    task = (await running.http.post("/tasks", json={"prompt": "x"}, headers=running.admin)).json()["id"]
    tag = (await running.http.get(f"/tasks/{task}", headers=running.admin)).headers["etag"]
    asked = {**running.admin, "If-None-Match": tag}
    same = await running.http.get(f"/tasks/{task}", headers=asked)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await running.http.delete(f"/tasks/{task}", headers=running.admin)
    assert (await running.http.get(f"/tasks/{task}", headers=asked)).status_code == 200


@pytest.fixture
def client(server: Server) -> Iterator[QbClient]:
    with server.client() as connected:
        yield connected


def test_the_client_reads_pages_to_the_end(client: QbClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qb.client.api.MOST", 2)
    made = [client.create_task(TaskCreate(prompt=f"paged {number}", title="paged")).id for number in range(5)]
    assert [task.id for task in client.tasks(text="paged", limit=100)] == made[::-1]
    assert [task.id for task in client.tasks(text="paged", limit=3)] == made[:1:-1]
    assert [task.id for task in client.tasks(id_prefix=made[0][:18])] == made[:1]
    client.create_node(NodeCreate(name="pages-1"))
    assert "pages-1" in {node.name for node in client.nodes()}
