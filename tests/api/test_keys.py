"""API keys over HTTP: made, held to what they were given, rotated, revoked; and what the audit log tells of it."""

import asyncio
from typing import Any

import pytest

from qb.contract.scopes import Scope
from qb.domain.times import after, utc_now
from tests.api.conftest import Running

ABSENT = "6f1c0000-0000-4000-8000-000000000000"


async def made(running: Running, **body: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A new key, and the headers that present it."""
    answer = await running.http.post("/keys", json={"name": "acme", **body}, headers=running.admin)
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key, {"X-API-Key": key["api_key"]}


async def create(running: Running, headers: dict[str, str], **body: Any) -> str:
    answer = await running.http.post("/tasks", json={"prompt": "work", **body}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def status(running: Running, headers: dict[str, str], method: str = "GET", path: str = "/tasks") -> int:
    return (await running.http.request(method, path, headers=headers)).status_code


async def test_a_secret_is_shown_once_and_its_prefix_ever_after(running: Running) -> None:
    key, headers = await made(running, description="nightly", rate_limit=1000, max_running=3, expires_in_days=1.5)
    assert key["api_key"].startswith(key["key_prefix"])
    assert await status(running, headers) == 200
    shown = (await running.http.get(f"/keys/{key['id']}", headers=running.admin)).json()
    assert "api_key" not in shown
    assert shown | {"api_key": key["api_key"], "last_used_at": None} == key
    listed = await running.http.get("/keys", headers=running.admin)
    assert key["api_key"] not in listed.text
    assert [each["name"] for each in listed.json()] == ["admin", "acme"]


async def test_a_scoped_key_may_do_what_its_scopes_say_and_no_more(running: Running) -> None:
    for scope, allowed in [
        (Scope.TASKS_READ, [("GET", "/tasks")]),
        (Scope.TASKS_CREATE, [("POST", "/tasks")]),
        (Scope.TASKS_CANCEL, []),
        (Scope.FILES, [("POST", "/upload")]),
    ]:
        _, headers = await made(running, scopes=[scope])
        for method, path in [("GET", "/tasks"), ("POST", "/tasks"), ("POST", "/upload")]:
            assert (await status(running, headers, method, path) == 403) == ((method, path) not in allowed), scope


@pytest.mark.parametrize("path", ["/nodes", "/keys", "/keys/audit", "/registration-tokens", "/dashboard/stats"])
async def test_what_is_the_operators_stays_theirs(path: str, running: Running) -> None:
    _, headers = await made(running, scopes=list(Scope))
    assert await status(running, headers, "GET", path) == 403


async def test_a_scoped_key_sees_and_touches_its_own_alone(running: Running) -> None:
    _, mine = await made(running)
    _, theirs = await made(running, name="other")
    own, foreign, admins = [await create(running, each) for each in (mine, theirs, running.admin)]
    assert [task["id"] for task in (await running.http.get("/tasks", headers=mine)).json()] == [own]
    for tail in ("", "/events", "/output", "/artifacts", "/artifacts/x", "/why"):
        for task, expected in ((own, 404 if tail == "/artifacts/x" else 200), (foreign, 404), (admins, 404)):
            assert await status(running, mine, "GET", f"/tasks/{task}{tail}") == expected, tail
    for task, expected in ((own, 200), (foreign, 404), (admins, 404), (ABSENT, 404)):
        assert await status(running, mine, "GET", f"/logs/{task}") == expected
        assert await status(running, mine, "POST", f"/tasks/{task}/retry") == (409 if expected == 200 else 404)
        assert await status(running, mine, "DELETE", f"/tasks/{task}") == expected
    assert (await running.http.get(f"/tasks/{foreign}", headers=theirs)).json()["status"] == "pending"
    hidden = await running.http.get(f"/tasks/{foreign}", headers=mine)
    absent = await running.http.get(f"/tasks/{ABSENT}", headers=mine)
    assert hidden.json()["detail"].replace(foreign, ABSENT) == absent.json()["detail"], "no telling them apart"


async def test_an_upload_belongs_to_the_key_that_sent_it(running: Running) -> None:
    _, mine = await made(running)
    _, theirs = await made(running, name="other")
    sent = await running.http.post("/upload", files={"file": ("a.txt", b"a")}, headers=theirs)
    name = sent.json()["filename"]
    for headers, expected in ((mine, 422), (theirs, 201), (running.admin, 201)):
        answer = await running.http.post("/tasks", json={"prompt": "p", "files": [name]}, headers=headers)
        assert answer.status_code == expected


async def test_a_keys_limits_on_nodes_are_in_every_task_it_makes(running: Running) -> None:
    _, headers = await made(running, allowed_node_patterns=["acme-*", "spare"], allowed_node_tags={"site": "berlin"})
    keys = {}
    for name, tags in (("acme-1", {"site": "berlin"}), ("acme-2", {"site": "rome"}), ("other", {"site": "berlin"})):
        body = {"name": name, "tags": tags}
        node = (await running.http.post("/nodes", json=body, headers=running.admin)).json()
        keys[name] = node["id"], {"X-API-Key": node["api_key"]}
    await create(running, headers)
    await create(running, headers, target_node_name="*")
    await create(running, headers, target_node_id=keys["acme-1"][0])
    for name, expected in (("other", None), ("acme-2", None), ("acme-1", "work")):
        answer = (await running.http.get("/tasks/pending", headers=keys[name][1])).json()
        assert (answer and answer["prompt"]) == expected, name
    foreign = {"prompt": "p", "target_node_id": keys["other"][0]}
    absent = {"prompt": "p", "target_node_id": ABSENT}
    refused = [await running.http.post("/tasks", json=body, headers=headers) for body in (foreign, absent)]
    assert [answer.status_code for answer in refused] == [422, 422]
    assert refused[0].json()["detail"].replace(keys["other"][0], ABSENT) == refused[1].json()["detail"]
    elsewhere = {"prompt": "p", "target_tags": {"site": "rome"}}
    assert (await running.http.post("/tasks", json=elsewhere, headers=headers)).status_code == 422


async def test_choosing_the_image_or_the_environment_takes_a_scope(running: Running) -> None:
    _, plain = await made(running)
    _, able = await made(running, scopes=[Scope.TASKS_CREATE, Scope.IMAGE, Scope.ENV])
    for field, value in (("image", "registry.example/agent"), ("env", {"TOKEN": "x"})):
        for headers, expected in ((plain, 403), (able, 201), (running.admin, 201)):
            answer = await running.http.post("/tasks", json={"prompt": "p", field: value}, headers=headers)
            assert answer.status_code == expected, field


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(running: Running) -> None:
    _, headers = await made(running, rate_limit=3)
    assert [await status(running, headers) for _ in range(4)] == [200, 200, 200, 429]
    answer = await running.http.get("/tasks", headers=headers)
    assert answer.json()["code"] == "rate_limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert await status(running, running.admin) == 200, "the limit is the key's own"


async def test_a_rotated_key_keeps_its_tasks_and_its_old_secret_for_the_grace(running: Running) -> None:
    key, old = await made(running)
    task = await create(running, old)
    rotated = await running.http.post(f"/keys/{key['id']}/rotate?grace_period_hours=1", headers=running.admin)
    new = {"X-API-Key": rotated.json()["api_key"]}
    assert rotated.json()["id"] == key["id"]
    for headers in (old, new):
        assert await status(running, headers, "GET", f"/tasks/{task}") == 200
    again = await running.http.post(f"/keys/{key['id']}/rotate?grace_period_hours=0", headers=running.admin)
    newest = {"X-API-Key": again.json()["api_key"]}
    assert [await status(running, each) for each in (old, new, newest)] == [401, 401, 200]


@pytest.mark.parametrize(("method", "tail"), [("POST", "/revoke"), ("DELETE", "")])
async def test_a_key_that_is_taken_back_is_refused_on_the_next_request(
    method: str, tail: str, running: Running
) -> None:
    key, headers = await made(running)
    await running.http.post(f"/keys/{key['id']}/rotate", headers=running.admin)
    assert await status(running, headers) == 200, "within the grace"
    assert await status(running, running.admin, method, f"/keys/{key['id']}{tail}") == 200
    assert await status(running, headers) == 401


async def test_the_last_admin_key_cannot_be_taken_back(running: Running) -> None:
    (admin,) = (await running.http.get("/keys", headers=running.admin)).json()
    for method, tail in (("POST", "/revoke"), ("DELETE", "")):
        assert await status(running, running.admin, method, f"/keys/{admin['id']}{tail}") == 409
    _, second = await made(running, role="admin")
    assert await status(running, second, "POST", f"/keys/{admin['id']}/revoke") == 200
    assert await status(running, running.admin) == 401


async def test_what_no_key_can_be_is_refused(running: Running) -> None:
    for body in (
        {"name": ""},
        {"name": "x", "role": "root"},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "rate_limit": 0},
        {"name": "x", "expires_in_days": 0},
        {"name": "x", "role": "admin", "scopes": ["env"]},
    ):
        assert (await running.http.post("/keys", json=body, headers=running.admin)).status_code == 422, body
    for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/revoke")):
        assert await status(running, running.admin, method, f"/keys/{ABSENT}{tail}") == 404


async def test_the_audit_log_names_who_did_what_and_from_where(running: Running) -> None:
    key, headers = await made(running)
    task = await create(running, headers)
    await running.http.delete(f"/tasks/{task}", headers=headers)
    await running.http.delete(f"/tasks/{task}", headers=headers)
    await running.http.post(f"/keys/{key['id']}/revoke", headers=running.admin)
    log = (await running.http.get("/keys/audit", headers=running.admin)).json()
    assert [(line["action"], line["object"], line["actor"]) for line in log] == [
        ("key_revoked", key["id"], "admin"),
        ("task_cancelled", task, "acme"),
        ("key_created", key["id"], "admin"),
    ]
    assert {line["address"] for line in log} == {"127.0.0.1"}
    one = (await running.http.get("/keys/audit?limit=1&action=key_created", headers=running.admin)).json()
    assert [line["action"] for line in one] == ["key_created"]


async def test_refused_credentials_are_counted_and_never_written(running: Running) -> None:
    wrong = running.made.admin_key[:20] + "A" * 30
    for _ in range(50):
        await running.http.get("/tasks", headers={"X-API-Key": wrong})
    await running.http.get("/tasks", headers={"X-API-Key": "my-password"})
    await running.http.get("/tasks")
    _, scoped = await made(running, scopes=[Scope.FILES])
    await running.http.get("/tasks", headers=scoped)
    answer = await running.http.get("/keys/audit?action=credential_refused", headers=running.admin)
    told = {(line["actor"], line["count"], line["detail"]["code"]) for line in answer.json()}
    assert told == {
        (wrong[:12], 50, "unauthenticated"),
        ("another form", 1, "unauthenticated"),
        ("acme", 1, "forbidden"),
    }
    assert wrong not in answer.text
    assert "my-password" not in answer.text


async def test_when_a_key_was_last_used_is_noted_soon(running: Running) -> None:
    key, headers = await made(running)
    began = after(utc_now(), -1)
    await status(running, headers)
    used = None
    async with asyncio.timeout(20):
        while used is None:
            await asyncio.sleep(0.05)
            used = (await running.http.get(f"/keys/{key['id']}", headers=running.admin)).json()["last_used_at"]
    assert used >= began


async def test_a_stream_ends_once_its_key_is_revoked_and_tells_nothing_that_came_after(running: Running) -> None:
    key, headers = await made(running)
    task = await create(running, headers)
    follow = {**headers, "Accept": "text/event-stream"}
    stream = asyncio.create_task(running.http.get(f"/tasks/{task}/events", headers=follow))
    async with asyncio.timeout(10):
        watched = False
        while not watched:
            await asyncio.sleep(0.01)
            watched = running.core.hub.watched(task)
        await running.http.post(f"/keys/{key['id']}/revoke", headers=running.admin)
        await running.http.delete(f"/tasks/{task}", headers=running.admin)
        text = (await stream).text
    assert "created" in text
    assert "cancelled" not in text
    assert "event: end" not in text


async def changed(running: Running, key_id: str, **body: Any) -> Any:
    return await running.http.patch(f"/keys/{key_id}", json=body, headers=running.admin)


async def test_the_limits_of_a_key_can_be_changed_and_its_secret_stays(running: Running) -> None:
    key, acme = await made(running, rate_limit=1, description="old")
    assert [await status(running, acme) for _ in range(2)] == [200, 429]
    shown = (await changed(running, key["id"], rate_limit=5, max_running=2, expires_in_days=1)).json()
    assert (shown["rate_limit"], shown["max_running"], shown["description"]) == (5, 2, "old")
    assert shown["expires_at"] is not None
    assert await status(running, acme) == 200
    freed = (await changed(running, key["id"], rate_limit=None, max_running=None, expires_in_days=None)).json()
    assert freed | {"last_used_at": None, "api_key": key["api_key"]} == key | {"rate_limit": None}
    entries = (await running.http.get("/keys/audit?action=key_changed", headers=running.admin)).json()
    assert [each["detail"]["max_running"] for each in entries] == [None, 2]


async def test_what_cannot_be_of_a_key_is_refused(running: Running) -> None:
    key, _ = await made(running)
    assert (await changed(running, key["id"], rate_limit=0)).status_code == 422
    assert (await changed(running, key["id"])).json()["rate_limit"] is None, "nothing is changed by nothing"
    assert (await changed(running, ABSENT, rate_limit=5)).status_code == 404
    await running.http.post(f"/keys/{key['id']}/revoke", headers=running.admin)
    assert (await changed(running, key["id"], rate_limit=5)).status_code == 409
