"""Nodes that Ansible reaches: what the registry keeps of them, and what it refuses."""

from typing import Any

import pytest

from tests.api.conftest import Running

SSH = {"mode": "push", "dispatch": "ansible", "address": "203.0.113.5", "ansible": {"ansible_user": "ops"}}


async def call(running: Running, method: str, path: str, body: Any = None) -> Any:
    return await running.http.request(method, path, json=body, headers=running.admin)


async def test_a_node_keeps_how_ansible_reaches_it(running: Running) -> None:
    made = (await call(running, "POST", "/nodes", {"name": "edge-1", **SSH})).json()
    assert {name: made[name] for name in SSH} == SSH
    assert made["wire"] == 2, "what Ansible starts there is a runner of ours"
    changed = await call(running, "PATCH", "/nodes/edge-1", {"address": "edge-1.example.org", "ansible": {}})
    assert (changed.json()["address"], changed.json()["ansible"]) == ("edge-1.example.org", {})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"ansible": {"ansible_ssh_common_args": "-o ProxyCommand=x"}}, "ansible_ssh_common_args is none"),
        ({"ansible": {"ansible_user": "{{ lookup('pipe', 'id') }}"}}, "ansible_user must be a user's name"),
        ({"ansible": {"ansible_user": "-oProxyCommand=x"}}, "ansible_user must be a user's name"),
        ({"ansible": {"ansible_port": 70000}}, "ansible_port must be a port"),
        ({"address": "-oProxyCommand=x"}, "address"),
        ({"address": "{{ 1 }}"}, "address"),
        ({"mode": "pull"}, "only a push node"),
        ({"address": None}, "Ansible needs one"),
        ({"slots": 2}, "one at a time"),
    ],
)
async def test_what_ansible_could_trip_over_is_refused(running: Running, body: dict[str, Any], said: str) -> None:
    answer = await call(running, "POST", "/nodes", {"name": "edge-1", **SSH, **body})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert (await call(running, "GET", "/nodes/edge-1")).status_code == 404, "nothing was kept"


async def test_a_node_can_be_handed_to_ansible_later(running: Running) -> None:
    await call(running, "POST", "/nodes", {"name": "edge-1"})
    changed = (await call(running, "PATCH", "/nodes/edge-1", SSH)).json()
    assert (changed["dispatch"], changed["wire"]) == ("ansible", 2)
