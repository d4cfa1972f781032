"""`qb task list` finds nodes, keys and groups as other commands do, against a real control plane."""

import json
from typing import Any

import pytest

from tests.fixtures_server import Server

NODE = "9c410000-0000-4000-8000-000000000001"
UNKNOWN = "3f2a0000-0000-4000-8000-00000000ffff"


@pytest.fixture
def admin(qb: Any, shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("QB_URL", shared_server.url)
    monkeypatch.setenv("QB_API_KEY", shared_server.admin_key)
    return qb


def made(admin: Any, *args: str) -> Any:
    ran = admin(*args, "-o", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_a_group_and_a_key_are_found_by_the_start_of_their_ids(admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made(admin, "node", "add", "lister-1")
    key = made(admin, "key", "create", "lister")
    group = made(admin, "task", "create", "work", "--each", "lister-*")
    (member,) = [each["id"] for each in group["tasks"]]
    assert admin("task", "list", "--group", group["id"][:8], "-o", "id").out == f"{member}\n"
    with monkeypatch.context() as as_lister:
        as_lister.setenv("QB_API_KEY", key["api_key"])
        (mine,) = [each["id"] for each in made(admin, "task", "create", "mine", "--to", "nobody-here")]
        # a scoped key sees no listing of keys and nodes: its own name, and a node's, are good all the same
        assert admin("task", "list", "--key", "lister", "-o", "id").out == f"{mine}\n"
        assert admin("task", "list", "--node", "lister-1").code == 0
    for given in ("lister", key["id"], key["id"][:8], key["id"][:8].upper()):
        assert admin("task", "list", "--key", given, "-o", "id").out == f"{mine}\n"
    assert admin("key", "remove", "lister").code == 0
    assert admin("task", "list", "--key", "lister", "-o", "id").out == f"{mine}\n", "its tasks keep the name"


@pytest.mark.parametrize("given", ["berlin-1", NODE, NODE[:8], NODE[:4].upper()])
def test_a_node_is_asked_for_by_its_id(qb: Any, connected: Any, make_task: Any, make_node: Any, given: str) -> None:
    connected.answers("GET", "/nodes", [make_node("berlin-1", NODE)])
    connected.answers("GET", "/tasks", [make_task()])
    assert qb("task", "list", "--node", given).code == 0
    assert connected.seen[-1].query == f"limit=20&node={NODE}"


@pytest.mark.parametrize("option", ["--node", "--key", "--group"])
@pytest.mark.parametrize("given", ["nope", UNKNOWN, UNKNOWN[:8]])
def test_what_there_is_not_is_told(admin: Any, option: str, given: str) -> None:
    ran = admin("task", "list", option, given)
    assert ran.code == 5
    assert ran.err.startswith(f"error: no {option[2:]} ")
