"""Known secrets of every kind are planted and used, rightly and wrongly; then they are looked for everywhere."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx2

from tests.fixtures_server import Server

ENV_SECRET = "env-secret-6c1f0e"
PASSWORD = "somebody's-own-password"


class Heard:
    """Every answer that is not to carry a secret."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def call(self, http: httpx2.Client, method: str, path: str, **more: Any) -> Any:
        answer = http.request(method, path, **more)
        self.bodies.append(f"{answer.headers}{answer.text}")
        return answer


def test_no_secret_is_left_where_it_does_not_belong(server: Server) -> None:
    heard = Heard()
    with server.http() as admin:
        scoped = admin.post("/keys", json={"name": "acme", "scopes": ["tasks:create", "tasks:read", "env"]}).json()
        token = admin.post("/registration-tokens", json={"name_glob": "box*"}).json()["token"]
        joined = httpx2.post(
            f"{server.url}/register",
            json={"hostname": "box", "wire": 2},
            headers={"X-Registration-Token": token},
        ).json()
        with server.http(scoped["api_key"]) as acme:
            body = {"prompt": "work", "env": {"API_TOKEN": ENV_SECRET}}
            made = heard.call(acme, "POST", "/tasks", json=body)
            assert made.json()["env_names"] == ["API_TOKEN"]
            task = made.json()["id"]
            heard.call(acme, "POST", "/tasks", json={"prompt": "", "env": {"API TOKEN": ENV_SECRET}})
            heard.call(acme, "GET", "/nodes")
        with server.http(joined["api_key"]) as node:
            assignment = node.get("/tasks/pending").json()
            assert assignment["env"] == {"API_TOKEN": ENV_SECRET}
            agent = assignment["task_token"]
            heard.call(node, "GET", "/keys")
            heard.call(node, "POST", "/nodes/heartbeat", json={})
            heard.call(node, "POST", "/status", json={"task_id": task, "status": "running", "attempt": 1})
            with server.http(agent) as container:
                heard.call(container, "POST", "/status", json={"task_id": task, "status": "analyzing"})
                heard.call(container, "GET", "/keys")
            report = {"task_id": task, "status": "success", "attempt": 1, "exit_code": 0}
            heard.call(node, "POST", "/status", json=report)
        secrets = [server.admin_key, server.registration_token, scoped["api_key"], token, joined["api_key"], agent]
        for secret in [*secrets, PASSWORD]:
            altered = secret[:-1] + ("A" if secret[-1] != "A" else "B")
            for wrong in (altered, secret + "x", secret.upper()):
                with server.http(wrong) as stranger:
                    heard.call(stranger, "GET", "/tasks")
                with server.http("") as stranger:
                    heard.call(stranger, "POST", "/register", json={}, headers={"X-Registration-Token": wrong})
            secrets.append(altered)
        for path in ("/keys", "/keys/audit", "/registration-tokens", f"/tasks/{task}", "/nodes", "/tasks", "/metrics"):
            heard.call(admin, "GET", path)
        heard.call(admin, "GET", f"/tasks/{task}/events")
    secrets += [ENV_SECRET, PASSWORD]
    places = {
        "qb.db": (server.data_dir / "qb.db").read_bytes() + _read(server.data_dir / "qb.db-wal"),
        "log": str(list(server.log)).encode(),
        "answers": "\n".join(heard.bodies).encode(),
        "command lines": b"\n".join(_read(each) for each in Path("/proc").glob("[0-9]*/cmdline")),
        "keys.db": (server.data_dir / "keys.db").read_bytes(),
    }
    found = {(where, secret[:8]) for where, text in places.items() for secret in secrets if secret.encode() in text}
    found.discard(("keys.db", ENV_SECRET[:8]))  # it may be there until the next round of housekeeping
    assert not found
    assert len(places["qb.db"]) > 100_000
    assert len(heard.bodies) > 40
    assert (server.data_dir / "keys.db").stat().st_mode & 0o777 == 0o600
    assert server.stop() == 0, "its last round forgets what is over"
    assert ENV_SECRET.encode() not in (server.data_dir / "keys.db").read_bytes()
    with sqlite3.connect(server.data_dir / "keys.db") as db:
        assert db.execute("SELECT count(*) FROM task_env").fetchone() == (0,)
    db.close()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
