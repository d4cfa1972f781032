"""The record of playbook runs."""

from typing import Any

from tests.api.conftest import Running

RUN = {
    "playbook": "site.yml",
    "limit": "berlin-*",
    "check": True,
    "outcome": "failed",
    "message": "berlin-1 failed in 'Install podman'",
    "started_at": "2026-01-31T12:00:00Z",
    "ended_at": "2026-01-31T12:01:00+00:00",
    "hosts": [
        {"host": "berlin-1", "ok": 3, "changed": 1, "failed": True, "failed_task": "Install podman", "message": "no"},
        {"host": "berlin-2", "unreachable": True},
    ],
}


async def call(running: Running, method: str, path: str, body: Any = None) -> Any:
    return await running.http.request(method, path, json=body, headers=running.admin)


async def test_a_run_is_kept_with_who_what_and_which_hosts(running: Running) -> None:
    made = (await call(running, "POST", "/provision-runs", RUN)).json()
    assert (made["actor"], made["limit"], made["check"], made["outcome"]) == ("admin", "berlin-*", True, "failed")
    assert (made["started_at"][:19], made["ended_at"][:19]) == ("2026-01-31T12:00:00", "2026-01-31T12:01:00")
    assert [(host["host"], host["failed_task"], host["unreachable"]) for host in made["hosts"]] == [
        ("berlin-1", "Install podman", False),
        ("berlin-2", None, True),
    ]
    assert (await call(running, "GET", f"/provision-runs/{made['id']}")).json() == made
    acts = (await call(running, "GET", "/keys/audit?action=provisioned")).json()
    assert (acts[0]["object"], acts[0]["detail"]["playbook"]) == (made["id"], "site.yml")


async def test_runs_are_listed_newest_first_page_by_page(running: Running) -> None:
    for name in ("one.yml", "two.yml", "three.yml"):
        await call(running, "POST", "/provision-runs", RUN | {"playbook": name})
    first = await call(running, "GET", "/provision-runs?limit=2")
    assert [run["playbook"] for run in first.json()] == ["three.yml", "two.yml"]
    rest = await call(running, "GET", f"/provision-runs?limit=2&cursor={first.headers['X-Next-Cursor']}")
    assert [run["playbook"] for run in rest.json()] == ["one.yml"]
