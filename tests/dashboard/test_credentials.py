"""Credentials of every kind are planted and used; then the dashboard is asked for them in every way that is known."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from qb.dashboard.accounts import Accounts
from qb.dashboard.place import Place
from qb.dashboard.roles import Role
from tests.fixtures_server import Server, new_server

ENV_SECRET = "env-secret-6c1f0e"
IDEMPOTENCY = "idempotent-4d1e77"
HOOK = "hook-path-secret-91aa"
PASSWORD = "a-person's-password"
PAGES_AT_MOST = 400

HERE = Path(__file__).parent
STATEMENTS = (HERE / "attacks_by_sql.txt").read_text().splitlines()
PLACES = (HERE / "attacks_by_url.txt").read_text().splitlines()


@dataclass
class Planted:
    """A control plane with credentials in use, and a dashboard over it."""

    dashboard: Any
    secrets: set[str] = field(default_factory=set)

    def seen_in(self, answer: httpx2.Response, own: str = "") -> set[str]:
        """Which of them the answer holds, its headers and the URL that it leads to included."""
        text = f"{answer.headers}\n{answer.text}".replace(own, "") if own else f"{answer.headers}\n{answer.text}"
        return {secret[:12] for secret in self.secrets if secret in text}


@pytest.fixture(scope="module")
def planted(
    tmp_path_factory: pytest.TempPathFactory, dashboard_over: Callable[[Path], AbstractContextManager[Any]]
) -> Iterator[Planted]:
    server = new_server(tmp_path_factory.mktemp("planted") / "qb", "--webhook-network", "127.0.0.0/8")
    server.start()
    try:
        secrets = _plant(server)
        place = Place.of(server.data_dir)
        Accounts(place).put("ann", Role.VIEWER, PASSWORD)
        secrets |= {PASSWORD, place.secret(), json.loads(place.accounts.read_text())[0]["password_hash"]}
        secrets |= {
            (server.data_dir / "secret").read_text().strip(),
            *_hashes(server.data_dir / "keys.db"),
        }
        with dashboard_over(server.data_dir) as dashboard:
            waiting = dashboard.link(Role.ANALYST, "somebody")
            yield Planted(dashboard, secrets | {waiting.partition("link=")[2]})
    finally:
        server.stop()


def _plant(server: Server) -> set[str]:
    with server.http() as admin:
        scoped = admin.post("/keys", json={"name": "acme", "scopes": ["tasks:create", "tasks:read", "env"]}).json()
        token = admin.post("/registration-tokens", json={"name_glob": "box*"}).json()["token"]
        hook = admin.post(
            "/webhooks", json={"url": f"http://127.0.0.1:9/{HOOK}", "events": ["task.created", "task.running"]}
        ).json()
    joined = httpx2.post(
        f"{server.url}/register", json={"hostname": "box", "wire": 2}, headers={"X-Registration-Token": token}
    ).json()
    with server.http(scoped["api_key"]) as acme:
        body = {"prompt": "work", "env": {"API_TOKEN": ENV_SECRET}}
        acme.post("/tasks", json=body, headers={"Idempotency-Key": IDEMPOTENCY}).raise_for_status()
        acme.get("/keys")
    with server.http(joined["api_key"]) as node:
        given = node.get("/tasks/pending").json()
        report = {"task_id": given["task_id"], "attempt": 1, "status": "running"}
        node.post("/status", json=report).raise_for_status()
    with server.http(scoped["api_key"] + "x") as stranger:
        stranger.get("/tasks")
    given_out = {scoped["api_key"], token, joined["api_key"], given["task_token"], hook["secret"]}
    return {server.admin_key, server.registration_token, *given_out, ENV_SECRET, IDEMPOTENCY, HOOK}


def _hashes(path: Path) -> set[str]:
    """The hashes, which are no credentials but say that the file was opened."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT hash FROM api_keys UNION SELECT hash FROM registration_tokens").fetchall()
    return {str(value) for row in rows for value in row}


@pytest.mark.parametrize("role", Role)
def test_no_statement_and_no_page_holds_a_credential(planted: Planted, role: Role, tmp_path: Path) -> None:
    folder = planted.dashboard.data_dir
    named = {"KEYS": str(folder / "keys.db"), "OUT": str(tmp_path / "out"), "FOLDER": str(folder)}
    found = {}
    with planted.dashboard.visitor(role) as http:
        for statement in STATEMENTS:
            sql = re.sub("KEYS|OUT|FOLDER", lambda match: named[match[0]], statement)
            for suffix in ("", ".json", ".csv"):
                found[f"{suffix} {statement}"] = planted.seen_in(http.get(f"/qb{suffix}", params={"sql": sql}))
            found[f"where {statement}"] = planted.seen_in(http.get("/qb/tasks.json", params={"_where": f"({sql})"}))
        for place in PLACES:
            answer = http.get(re.sub("KEYS|OUT|FOLDER", lambda match: named[match[0]], place))
            assert answer.status_code < 500, place
            found[place] = planted.seen_in(answer)
    assert {where: what for where, what in found.items() if what} == {}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("role", Role)
def test_no_page_that_links_lead_to_holds_a_credential(planted: Planted, role: Role) -> None:
    with planted.dashboard.visitor(role) as http:
        waiting, seen = ["/", "/qb"], set[str]()
        while waiting and len(seen) < PAGES_AT_MOST:
            path = waiting.pop(0)
            if path in seen or path.startswith("/-/logout"):
                continue
            seen.add(path)
            answer = http.get(path)
            leads_on = answer.headers.get("location")
            assert answer.status_code == (302 if leads_on else 200), path
            waiting += [leads_on] if leads_on else []
            assert planted.seen_in(answer) == set(), path
            if answer.headers.get("content-type", "").startswith("text/html"):
                waiting += _links(path, answer.text)
    assert len(seen) > 40


def _links(base: str, text: str) -> list[str]:
    found = [urljoin(base, each.replace("&amp;", "&")) for each in re.findall(r'(?:href|src)="([^"#]+)"', text)]
    return [each for each in found if each.startswith("/") and not each.startswith("/-/static")]


def test_every_row_of_every_table_that_can_be_read_holds_none(planted: Planted) -> None:
    http = planted.dashboard.http
    tables = http.get("/qb.json", params={"sql": "select name from sqlite_master", "_shape": "arrayfirst"}).json()
    read = 0
    for table in tables:
        for suffix in (".json?_shape=array&_size=max", ".csv?_size=max", ".json?_extra=query&_labels=on"):
            answer = http.get(f"/qb/{table}{suffix}")
            assert planted.seen_in(answer) == set(), table
            read += answer.status_code == 200
    assert read > 40


def test_the_key_file_is_never_opened(planted: Planted) -> None:
    assert planted.dashboard.page("/qb/tasks").status_code == 200, "files are opened by the first question"
    process = Path(f"/proc/{planted.dashboard.process}")
    assert b"datasette" in (process / "cmdline").read_bytes()
    opened = {str(each.readlink()) for each in (process / "fd").iterdir()}
    assert str(planted.dashboard.data_dir / "qb.db") in opened
    assert not [each for each in opened if "keys.db" in each]


def test_neither_the_log_nor_the_command_line_holds_one(planted: Planted) -> None:
    planted.dashboard.page("/qb.json?sql=select+nosuch")
    text = (planted.dashboard.data_dir / "datasette.log").read_text()
    assert "GET " in text
    lines = b"\n".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()).decode()
    cookie = planted.dashboard.http.cookies["ds_actor"]
    assert [secret[:12] for secret in (*planted.secrets, cookie) if secret in text or secret in lines] == []
