"""A disk that is really full: refused with 507, nothing half written, and all well again once there is room."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from qb.client import QbClient
from qb.contract.nodes import Register
from qb.contract.states import ReportStatus
from qb.contract.tasks import Assignment, StatusReport, TaskCreate
from tests.fixtures_disk import Disk
from tests.fixtures_server import Server, new_server

LARGE = "x" * 100_000
TRIES = 400
"""More than the disk can take of anything large."""


@dataclass
class Site:
    """A control plane on a small disk, a task that a node runs there, and plain HTTP as operator and as node."""

    disk: Disk
    server: Server
    task: str
    operator: httpx2.Client
    node: httpx2.Client

    def until_full(self, ask: Callable[[int], httpx2.Response], good: int) -> int:
        """Ask until the answer is that the disk is full; returns how often it was done before."""
        for number in range(TRIES):
            answer = ask(number)
            if answer.status_code == good:
                continue
            assert (answer.status_code, answer.json()["code"]) == (507, "storage_full"), answer.text
            assert "disk is full" in answer.json()["detail"]
            return number
        raise AssertionError("the disk took everything")

    def create(self, number: int) -> httpx2.Response:
        return self.operator.post("/tasks", json={"prompt": f"{number} {LARGE}", "target_node_name": "none"})

    def upload(self, number: int) -> httpx2.Response:
        return self.operator.post("/upload", files={"file": (f"{number}.bin", str(number).encode() + LARGE.encode())})

    def artifact(self, number: int) -> httpx2.Response:
        return self.node.put(f"/tasks/{self.task}/artifacts/{number}", content=str(number).encode() + LARGE.encode())

    def output(self, number: int) -> httpx2.Response:
        chunk = {"seq": number + 1, "stream": "stdout", "at": "now", "text": LARGE}
        return self.node.post(f"/tasks/{self.task}/output", json={"attempt": 1, "chunks": [chunk]})

    def session(self, number: int) -> httpx2.Response:
        messages = [{"id": f"m{each}", "role": "user", "content": LARGE} for each in range(5)]
        body = {"task_id": self.task, "session": {"id": f"s{number}", "messages": messages}}
        return self.node.post("/logs", json=body)

    def blobs(self) -> list[Path]:
        return [path for path in (self.server.data_dir / "blobs").rglob("*") if path.is_file()]

    def count(self, query: str) -> int:
        with closing(sqlite3.connect(f"file:{self.server.data_dir / 'qb.db'}?mode=ro", uri=True)) as db:
            return int(db.execute(query).fetchone()[0])


@pytest.fixture
def site(small_disk: Disk) -> Iterator[Site]:
    server = new_server(small_disk.path / "qb")
    try:
        server.start()
        with server.client() as operator, server.joining() as joining:
            key = joining.register(Register(hostname="box", wire=2)).api_key
            with server.client(key) as node:
                task = _begin(operator, node)
            with server.http() as http, server.http(key) as node_http:
                yield Site(small_disk, server, task.task_id, http, node_http)
        # Nothing went wrong that was not said, and the server is the one that was started.
        assert server.process is not None
        assert server.process.poll() is None
        assert not [entry for entry in server.log if entry.get("event") == "request failed"]
    finally:
        server.stop()


def _begin(operator: QbClient, node: QbClient) -> Assignment:
    operator.create_task(TaskCreate(prompt="go", timeout_seconds=None))
    assignment = node.poll()
    assert assignment is not None
    node.report_status(StatusReport(task_id=assignment.task_id, status=ReportStatus.RUNNING, attempt=1))
    return assignment


KINDS = {
    "create": (201, "SELECT count(*) - 1 FROM tasks"),
    "upload": (201, "SELECT count(*) FROM uploads"),
    "artifact": (201, "SELECT count(*) FROM artifacts"),
    "output": (200, "SELECT count(*) FROM task_output"),
    "session": (200, "SELECT count(*) FROM crush_sessions"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_acknowledged_is_there_and_nothing_else_and_it_goes_on_with_room(site: Site, kind: str) -> None:
    good, rows = KINDS[kind]
    ask: Callable[[int], httpx2.Response] = getattr(site, kind)
    site.disk.fill(leave=2 << 20)
    done = site.until_full(ask, good)
    blobs = site.blobs()
    assert site.count(rows) == done
    assert site.count("SELECT count(*) FROM crush_messages") == (5 * done if kind == "session" else 0)
    assert len(blobs) == (done if kind in ("upload", "artifact") else 0), blobs
    assert not [path for path in blobs if path.name.startswith("part-")]
    # Full, it still answers, and says what is wrong.
    assert "free: make room" in site.operator.get("/readyz").text
    assert site.operator.get(f"/tasks/{site.task}").status_code == 200
    site.disk.release()
    assert ask(done).status_code == good
    assert site.count(rows) == done + 1
    assert site.count("SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'") == 1


def test_every_kind_of_write_goes_on_once_there_is_room(site: Site) -> None:
    site.disk.fill()
    refused = {kind: site.until_full(getattr(site, kind), good) for kind, (good, _) in KINDS.items()}
    site.disk.release()
    for kind, (good, rows) in KINDS.items():
        assert getattr(site, kind)(refused[kind]).status_code == good, kind
        assert site.count(rows) == refused[kind] + 1, kind


def test_a_disk_that_is_full_when_the_server_starts_again_is_said(site: Site) -> None:
    site.disk.fill(leave=2 << 20)
    done = site.until_full(site.create, 201)
    site.server.stop()
    site.disk.fill()
    site.server.start("/healthz")
    assert site.count("SELECT count(*) FROM tasks") == done + 1
    site.disk.release()
    assert site.create(done).status_code == 201
