"""The operator's side of nodes: change with If-Match, rotate, remove; and whose token may take a name over."""

import asyncio
from typing import Any

import pytest

from qb.api.addresses import client_address, networks
from qb.domain.errors import Invalid
from tests.api.conftest import Running


async def call(running: Running, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return await running.http.request(method, path, json=body, headers={**running.admin, **headers})


async def add(running: Running, name: str = "box", **more: Any) -> tuple[str, dict[str, str]]:
    node = (await call(running, "POST", "/nodes", {"name": name, **more})).json()
    return node["id"], {"X-API-Key": node["api_key"]}


async def token(running: Running, **body: Any) -> str:
    return str((await call(running, "POST", "/registration-tokens", body)).json()["token"])


async def join(running: Running, secret: str, name: str = "box", **more: Any) -> Any:
    body = {"hostname": name, "wire": 2, **more}
    return await running.http.post("/register", json=body, headers={"X-Registration-Token": secret})


async def test_a_change_made_meanwhile_is_not_lost(running: Running) -> None:
    node, key = await add(running)
    tag = (await call(running, "GET", f"/nodes/{node}")).headers["ETag"]
    await running.http.post("/nodes/heartbeat", json={"load": 3}, headers=key)
    changed = await call(running, "PATCH", f"/nodes/{node}", {"tags": {"a": "b"}}, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["tags"]) == (200, {"a": "b"}), "a heartbeat is no change"
    late = await call(running, "PATCH", f"/nodes/{node}", {"slots": 4}, **{"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    again = await call(running, "PATCH", f"/nodes/{node}", {"slots": 4}, **{"If-Match": changed.headers["ETag"]})
    assert (again.json()["slots"], again.json()["tags"]) == (4, {"a": "b"})


async def test_a_wire_2_node_says_itself_what_it_runs(running: Running) -> None:
    made = (await join(running, await token(running))).json()
    refused = await call(running, "PATCH", f"/nodes/{made['id']}", {"generation": "D"})
    assert (refused.status_code, refused.json()["detail"].startswith("generation: ")) == (422, True)
    assert (await call(running, "GET", f"/nodes/{made['id']}")).json()["generation"] == "wire2"


async def test_a_nodes_tags_decide_at_once_what_it_gets(running: Running) -> None:
    node, key = await add(running)
    await call(running, "POST", "/tasks", {"prompt": "berlin", "target_tags": {"site": "berlin"}})
    assert (await running.http.get("/tasks/pending", headers=key)).json() is None
    await call(running, "PATCH", f"/nodes/{node}", {"tags": {"site": "berlin"}})
    assert (await running.http.get("/tasks/pending", headers=key)).json()["prompt"] == "berlin"


async def test_two_nodes_cannot_have_one_name(running: Running) -> None:
    node, _ = await add(running)
    await add(running, "crate")
    assert (await call(running, "PATCH", f"/nodes/{node}", {"name": "crate"})).status_code == 409
    assert (await call(running, "PATCH", f"/nodes/{node}", {"name": "chest"})).json()["name"] == "chest"
    assert (await call(running, "PATCH", "/nodes/nowhere", {"slots": 1})).status_code == 404


async def test_a_removed_nodes_key_is_good_for_nothing(running: Running) -> None:
    node, key = await add(running)
    await call(running, "POST", "/tasks", {"prompt": "work"})
    await running.http.get("/tasks/pending", headers=key)
    assert (await call(running, "DELETE", f"/nodes/{node}")).status_code == 409, "it holds a task"
    assert (await call(running, "DELETE", f"/nodes/{node}?force=true")).status_code == 200
    assert (await running.http.get("/tasks/pending", headers=key)).status_code == 401
    assert (await call(running, "GET", f"/nodes/{node}")).status_code == 404


async def test_a_rotated_key_leaves_the_old_one_until_the_node_registers_again(running: Running) -> None:
    secret = await token(running)
    first = {"X-API-Key": (await join(running, secret)).json()["api_key"]}
    rotated = (await call(running, "POST", "/nodes/box/rotate")).json()
    second = {"X-API-Key": rotated["api_key"]}
    for key in (first, second):
        assert (await running.http.get("/tasks/pending", headers=key)).status_code == 200
    third = {"X-API-Key": (await join(running, secret)).json()["api_key"]}
    seen = [(await running.http.get("/tasks/pending", headers=key)).status_code for key in (first, second, third)]
    assert seen == [401, 401, 200]
    await call(running, "POST", "/nodes/box/rotate?grace_period_hours=0")
    assert (await running.http.get("/tasks/pending", headers=third)).status_code == 401


@pytest.mark.parametrize("how", ["registered anew", "rotated"])
async def test_who_waits_with_a_replaced_key_gets_no_task_any_more(how: str, running: Running) -> None:
    secret = await token(running)
    old = {"X-API-Key": (await join(running, secret)).json()["api_key"]}
    poll = asyncio.create_task(running.http.get("/tasks/pending?wait=20", headers=old))
    async with asyncio.timeout(10):
        held = False
        while not held:
            await asyncio.sleep(0.01)
            held = await waiting(running)
        if how == "rotated":
            new = (await call(running, "POST", "/nodes/box/rotate?grace_period_hours=0")).json()["api_key"]
        else:
            new = (await join(running, secret)).json()["api_key"]
        await call(running, "POST", "/tasks", {"prompt": "work"})
        assert (await poll).json() is None
        got = await running.http.get("/tasks/pending?wait=5", headers={"X-API-Key": new})
    assert got.json()["prompt"] == "work"


async def waiting(running: Running) -> bool:
    """Whether a poll is held."""
    return "qb_pollers_waiting 1.0" in (await running.http.get("/metrics")).text


async def test_a_name_is_taken_over_with_its_own_token_or_an_admins_leave(running: Running) -> None:
    own, other = await token(running), await token(running)
    assert (await join(running, own)).status_code == 200
    assert (await join(running, other)).status_code == 409
    await call(running, "PATCH", "/nodes/box", {"takeover_allowed": True})
    assert (await join(running, other)).status_code == 200
    assert (await join(running, own)).status_code == 409, "the leave was for once"


async def test_a_node_registered_ahead_may_come_until_its_key_was_used(running: Running) -> None:
    secret = await token(running)
    await add(running, "fresh")
    _, key = await add(running, "used")
    await running.http.post("/nodes/heartbeat", json={}, headers=key)
    assert (await join(running, secret, "fresh")).status_code == 200
    assert (await join(running, secret, "used")).status_code == 409


async def test_a_token_lets_in_what_it_says(running: Running) -> None:
    secret = await token(running, name_glob="edge-*", max_uses=1)
    assert (await join(running, secret, "box")).status_code == 403
    assert (await join(running, secret, "edge-1")).status_code == 200
    assert (await join(running, secret, "edge-2")).status_code == 403, "its one use is spent"
    assert (await join(running, secret, "edge-1")).status_code == 200, "coming back is none"
    (_, listed) = (await call(running, "GET", "/registration-tokens")).json()
    assert (listed["uses"], listed["max_uses"], "token" in listed) == (1, 1, False)
    assert (await call(running, "DELETE", f"/registration-tokens/{listed['id']}")).status_code == 200
    assert (await join(running, secret, "edge-1")).status_code == 401


async def test_where_to_push_to_takes_a_token_that_allows_it(running: Running) -> None:
    push = {"mode": "push", "api_endpoint": "http://192.0.2.7:8080"}
    assert (await join(running, await token(running), "cloud", **push)).status_code == 403
    assert (await join(running, await token(running, allows_push=True), "cloud", **push)).status_code == 200


class Sent:
    """A request, as far as its origin goes."""

    def __init__(self, peer: str | None, forwarded: str | None = None) -> None:
        self.scope = {"client": (peer, 1) if peer else None}
        self._forwarded = forwarded

    def get_header(self, name: str) -> str | None:
        return self._forwarded if name == "X-Forwarded-For" else None


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        (None, "203.0.113.9", None),
    ],
)
def test_a_forwarded_address_is_believed_from_the_trusted_proxy_only(
    peer: str | None, forwarded: str | None, expected: str | None
) -> None:
    request: Any = Sent(peer, forwarded)
    assert client_address(request, networks(["10.0.0.0/8"])) == expected


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(Invalid, match="is no address or CIDR block"):
        networks(["proxy.example"])


NO_ENDPOINTS = {
    "ftp://x": "is no http or https URL with a host",
    "not a url": "is no http or https URL with a host",
    "http://": "is no http or https URL with a host",
    "http://node:port": "is no http or https URL with a host",
    "": "is no http or https URL with a host",
    "http://me:secret@node:8080": "holds a user name or password",
    "http://node 1:8080": "holds blanks",
}


@pytest.mark.parametrize("endpoint", NO_ENDPOINTS)
async def test_an_address_that_nobody_could_push_to_is_refused(running: Running, endpoint: str) -> None:
    """Tasks for such a node stayed pending, and nothing said why."""
    secret = await token(running, allows_push=True)
    node, _ = await add(running, "known")
    push = {"mode": "push", "api_endpoint": endpoint}
    for answer in (
        await call(running, "POST", "/nodes", {"name": "p", **push}),
        await call(running, "PATCH", f"/nodes/{node}", push),
        await join(running, secret, "p", **push),
        await join(running, secret, "p", wire=1, **push),
    ):
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(f"api_endpoint: {NO_ENDPOINTS[endpoint]}")
        assert "secret" not in answer.text


async def test_who_polls_may_say_any_address(running: Running) -> None:
    """Older clients send it in either mode; nobody calls it."""
    joined = await join(running, await token(running), wire=1, mode="pull", api_endpoint="")
    assert (joined.status_code, joined.json()["api_endpoint"]) == (200, None)


@pytest.mark.parametrize("endpoint", ["http://box_1:8080", "HTTP://box.local:8080/", "https://[fd00::1]:8443/runner"])
async def test_an_address_that_worked_before_is_taken(running: Running, endpoint: str) -> None:
    secret = await token(running, allows_push=True)
    joined = await join(running, secret, wire=1, mode="push", api_endpoint=endpoint)
    assert (joined.status_code, joined.json()["api_endpoint"]) == (200, endpoint)


async def test_a_change_of_what_no_node_has_is_refused(running: Running) -> None:
    """A misspelt field would be taken for done."""
    node, _ = await add(running)
    refused = await call(running, "PATCH", f"/nodes/{node}", {"slots": 2, "bogus": 2})
    assert (refused.status_code, refused.json()["detail"]) == (422, "bogus: is no parameter of this route")
    assert (await call(running, "GET", f"/nodes/{node}")).json()["slots"] == 1
