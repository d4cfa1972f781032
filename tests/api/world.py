"""Every kind of caller, and things that are theirs, somebody else's or not there, for a matrix of routes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx2

from qb.contract.routes import BY_NAME, Route
from tests.api.conftest import Running

Headers = dict[str, str]
OWN, FOREIGN, ABSENT = "own", "foreign", "absent"


def _key(value: str) -> Headers:
    return {"X-API-Key": value}


@dataclass
class World:
    """The application, and one caller of each kind; workers (`node`, `replaced`, `agent`) hold a task each."""

    running: Running
    callers: dict[str, Headers] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    askers: dict[str, Headers] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: count(1))

    async def open(self) -> "World":
        """Make every caller."""
        admin = self.callers["admin"] = self.running.admin
        self.callers |= {"none": {}, "wrong": _key("qba_" + "x" * 43), "joining": self._joining()}
        self.callers["scoped"] = _key((await self.made("/keys", {"name": "scoped"}))["api_key"])
        self.callers["other"] = _key((await self.made("/keys", {"name": "other"}))["api_key"])
        self.callers["bare"] = _key((await self.made("/keys", {"name": "bare", "scopes": []}))["api_key"])
        revoked = await self.made("/keys", {"name": "revoked", "role": "admin"})
        await self.ask("POST", f"/keys/{revoked['id']}/revoke", admin)
        expired = await self.made("/keys", {"name": "expired", "role": "admin", "expires_in_days": 1e-9})
        self.callers |= {"revoked": _key(revoked["api_key"]), "expired": _key(expired["api_key"])}
        for worker in ("node", "replaced", "agent", "stranger"):
            await self._hold(worker)
        return self

    def _joining(self) -> Headers:
        return {"X-Registration-Token": self.running.made.registration_token}

    async def _hold(self, worker: str) -> None:
        """A node with a task that it runs; the replaced one registers anew, the agent speaks for the task."""
        name = f"{worker}-{next(self.numbers)}"
        body = {"hostname": name, "wire": 2, "slots": 64, "limits": True}
        node = (await self.ask("POST", "/register", self._joining(), json=body)).json()
        key = self.callers[worker] = _key(node["api_key"])
        upload = (
            await self.ask("POST", "/upload", self.running.admin, files={"file": ("f.txt", b"f", "text/plain")})
        ).json()
        task = await self.made("/tasks", {"prompt": "x", "target_node_id": node["id"], "files": [upload["filename"]]})
        assignment = (await self.ask("GET", "/tasks/pending", key)).json()
        assert assignment["task_id"] == task["id"]
        self.held[worker] = task["id"]
        if worker == "replaced":
            await self.ask("POST", "/register", self._joining(), json=body)
        if worker == "agent":
            self.callers[worker] = _key(assignment["task_token"])

    async def ask(self, method: str, path: str, headers: Headers, **more: Any) -> httpx2.Response:
        """One request."""
        async with asyncio.timeout(10):
            return await self.running.http.request(method, path, headers=headers, **more)

    async def made(self, path: str, body: Any, by: str = "admin") -> dict[str, Any]:
        """A thing that a caller makes."""
        answer = await self.ask("POST", path, self.callers[by], json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    # things that a route is about

    async def thing(self, route: Route, role: str, whose: str) -> str:
        """The id of a fresh thing of the kind that the route is about."""
        if whose == ABSENT:
            return "nowhere.txt" if route.name == "download_file" else str(uuid4())
        if route.name in WORKERS_ROUTES or (route.name in READ_BY_WORKERS and role in self.held):
            return self.held[role if whose == OWN and role in self.held else "stranger"]
        return await _MAKERS[_subject(route)](self, _owner(role, whose), route)

    async def _question(self, task_id: str, whose: str) -> str:
        """A fresh question that the task's own worker has asked."""
        if whose == ABSENT:
            return str(uuid4())
        asker = self.askers.get(task_id) or next(self.callers[each] for each in self.held if self.held[each] == task_id)
        body = {"question": "Go on?", "key": str(next(self.numbers))}
        found = (await self.ask("POST", f"/tasks/{task_id}/questions", asker, json=body)).json()
        return str(found.get("id", "none"))

    async def call(self, name: str, role: str, whose: str) -> int:
        """Ask for a route as `role`, about what is whose; the status of the answer."""
        route = BY_NAME[name]
        thing = await self.thing(route, role, whose) if about(route) else ""
        path = route.path
        if "{question_id}" in path:
            path = path.replace("{question_id}", await self._question(thing, whose))
        for part in _SUBJECTS:
            path = path.replace(f"{{{part}}}", thing)
        path = path.replace("{name}", thing if whose == ABSENT else "f.txt")
        more: dict[str, Any] = {"params": {"task_id": thing}} if name == "download_file" else {}
        if name == "upload":
            more["files"] = {"file": ("f.txt", b"f", "text/plain")}
        elif name == "put_artifact":
            more |= {"content": b"f", "params": {"attempt": 1}}
        elif route.request is not None:
            more["json"] = BODIES[name](thing, next(self.numbers))
        return (await self.ask(route.method, path, self.callers[role], **more)).status_code


WORKERS_ROUTES = frozenset(
    "download_file report_status report_session report_output put_artifact ask_question log_metric".split()
)
READ_BY_WORKERS = frozenset({"show_task", "show_question"})
_SUBJECTS = ("group_id", "node_id", "key_id", "token_id", "webhook_id", "run_id", "task_id")


def about(route: Route) -> bool:
    """Whether the route is about one thing, so that it matters whose."""
    return "{" in route.path or route.name in WORKERS_ROUTES


def _subject(route: Route) -> str:
    if route.path.startswith("/schedules/"):
        return "schedule"
    return next(part for part in _SUBJECTS if f"{{{part}}}" in route.path)


def _owner(role: str, whose: str) -> str:
    own = role if role == "scoped" else "admin"
    return own if whose == OWN else "other"


async def _task(world: World, owner: str, route: Route) -> str:
    task = await world.made("/tasks", {"prompt": "x", "target_node_name": "nobody"}, owner)
    if route.name == "retry_task":
        await world.ask("DELETE", f"/tasks/{task['id']}", world.callers["admin"])
    if route.name == "get_artifact":
        task_id, key = await _running(world, owner)
        answer = await world.ask("PUT", f"/tasks/{task_id}/artifacts/f.txt?attempt=1", key, content=b"f")
        assert answer.status_code == 201, answer.text
        return task_id
    if "{question_id}" in route.path:
        task_id, world.askers[task_id] = await _running(world, owner)
        return task_id
    return str(task["id"])


async def _running(world: World, owner: str) -> tuple[str, Headers]:
    """A task that a node has begun, and the node's key."""
    name = f"artist-{next(world.numbers)}"
    body = {"hostname": name, "wire": 2}
    key = _key((await world.ask("POST", "/register", world.callers["joining"], json=body)).json()["api_key"])
    task = await world.made("/tasks", {"prompt": "x", "target_node_name": name}, owner)
    await world.ask("GET", "/tasks/pending", key)
    return str(task["id"]), key


async def _schedule(world: World, owner: str, route: Route) -> str:
    return str((await world.made("/tasks", {"prompt": "x", "recurrence": "0 3 * * *"}, owner))["id"])


async def _group(world: World, owner: str, route: Route) -> str:
    return str((await world.made("/groups", {"prompt": "x", "each": "node-*"}, owner))["id"])


async def _node(world: World, owner: str, route: Route) -> str:
    return str((await world.made("/nodes", {"name": f"made-{next(world.numbers)}"}))["id"])


async def _api_key(world: World, owner: str, route: Route) -> str:
    return str((await world.made("/keys", {"name": f"made-{next(world.numbers)}"}))["id"])


async def _token(world: World, owner: str, route: Route) -> str:
    return str((await world.made("/registration-tokens", {}))["id"])


async def _webhook(world: World, owner: str, route: Route) -> str:
    return str((await world.made("/webhooks", WEBHOOK))["id"])


async def _provision_run(world: World, owner: str, route: Route) -> str:
    return str((await world.made("/provision-runs", PROVISION_RUN))["id"])


_MAKERS: dict[str, Callable[[World, str, Route], Awaitable[str]]] = {
    "task_id": _task,
    "schedule": _schedule,
    "group_id": _group,
    "node_id": _node,
    "key_id": _api_key,
    "token_id": _token,
    "webhook_id": _webhook,
    "run_id": _provision_run,
}
WEBHOOK = {"url": "https://1.1.1.1/", "events": ["task.success"]}
"""An event that never comes here: nothing is sent to anybody."""

PROVISION_RUN = {
    "playbook": "site.yml",
    "outcome": "ok",
    "started_at": "2026-01-01T00:00:00Z",
    "ended_at": "2026-01-01T00:01:00Z",
}
_SESSION = {"id": "s", "title": "t", "messages": []}
_CHUNK = {"seq": 1, "stream": "stdout", "at": "2026-01-01T00:00:00Z", "text": "x"}
BODIES: dict[str, Callable[[str, int], Any]] = {
    "register": lambda thing, number: {"hostname": f"new-{number}", "wire": 2},
    "heartbeat": lambda thing, number: {"status": "busy"},
    "report_status": lambda thing, number: {"task_id": thing, "status": "running", "attempt": 1},
    "report_session": lambda thing, number: {"task_id": thing, "session": _SESSION, "attempt": 1},
    "report_output": lambda thing, number: {"attempt": 1, "chunks": [_CHUNK]},
    "ask_question": lambda thing, number: {"question": "Go on?", "key": str(number)},
    "answer_question": lambda thing, number: {"answer": "yes"},
    "log_metric": lambda thing, number: {"name": "rows", "value": 1, "seq": number},
    "create_task": lambda thing, number: {"prompt": "x", "target_node_name": "nobody"},
    "create_group": lambda thing, number: {"prompt": "x", "each": "node-*"},
    "create_node": lambda thing, number: {"name": f"new-{number}"},
    "change_key": lambda thing, number: {"rate_limit": 1000},
    "change_node": lambda thing, number: {"slots": 2},
    "create_key": lambda thing, number: {"name": f"new-{number}"},
    "create_token": lambda thing, number: {},
    "record_provision_run": lambda thing, number: PROVISION_RUN,
    "create_webhook": lambda thing, number: WEBHOOK,
}
