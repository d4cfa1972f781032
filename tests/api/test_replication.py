"""`qb serve --replicate`: the restore drill, with a node that goes on."""

import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from qb.domain.errors import Unreachable
from qb.domain.times import utc_now
from qb.service import archive, replication, restore
from tests.fixtures_server import Server, new_server

PATIENCE = 30


def replicated(url: str, scratch: Path, task_id: str) -> bool:
    """Whether the task has reached the replica."""
    copy = scratch / "look.db"
    copy.unlink(missing_ok=True)
    try:
        replication.restore(url, "qb.db", copy)
    except Unreachable:
        return False
    with closing(sqlite3.connect(copy)) as db:
        return db.execute("SELECT 1 FROM tasks WHERE id = ? AND status = 'running'", (task_id,)).fetchone() is not None


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A place for the replica."""
    return f"file://{tmp_path}/replica"


def test_the_restore_drill(url: str, tmp_path: Path) -> None:
    own = new_server(tmp_path / "qb", "--replicate", url)
    own.start()
    with own.http() as http:
        body = {"hostname": "box", "os_type": "linux", "wire": 2}
        joined = http.post("/register", json=body, headers={"X-Registration-Token": own.registration_token}).json()
        node_key = joined["api_key"]
        upload = http.post("/upload", files={"file": ("a.txt", b"kept")}).json()
        task = http.post("/tasks", json={"prompt": "go on", "files": [upload["filename"]]}).json()["id"]
    with own.http(node_key) as node:
        given = node.get("/tasks/pending").json()
        report = {"task_id": task, "status": "running", "attempt": given["attempt"]}
        assert node.post("/status", json=report).status_code == 200
    deadline = time.monotonic() + PATIENCE
    while not replicated(url, tmp_path, task):
        assert time.monotonic() < deadline, "the task does not reach the replica"
        time.sleep(0.2)
    # The disaster: what an operator keeps elsewhere is the secret and the blobs.
    (tmp_path / "parts").mkdir()
    shutil.copy(own.data_dir / "secret", tmp_path / "parts" / "secret")
    shutil.copytree(own.data_dir / "blobs", tmp_path / "parts" / "blobs")
    (tmp_path / "parts" / "dashboard").mkdir()
    (tmp_path / "parts" / archive.ACCOUNTS).write_text("[]\n")
    own.kill()
    shutil.rmtree(own.data_dir)
    restored = restore.from_replica(url, tmp_path / "parts", own.data_dir, now=utc_now())
    assert (restored.epoch, restored.pending) == (1, 0)
    assert (own.data_dir / archive.ACCOUNTS).read_text() == "[]\n"
    again = Server(own.data_dir, own.admin_key, own.registration_token, ("--replicate", url + "-2"), port=own.port)
    again.start()
    try:
        with again.http(node_key) as node:
            beat = node.post("/nodes/heartbeat", json={"running": [{"task_id": task, "attempt": given["attempt"]}]})
            assert (beat.status_code, beat.json()["cancel"]) == (200, [])
            assert node.get("/files/a.txt").content == b"kept"
            done = {"task_id": task, "status": "success", "attempt": given["attempt"], "exit_code": 0}
            assert node.post("/status", json=done).json()["status"] == "success"
    finally:
        again.stop()


def test_a_stopped_server_has_sent_everything_and_litestream_is_gone(url: str, tmp_path: Path) -> None:
    own = new_server(tmp_path / "qb", "--replicate", url)
    own.start()
    with own.http() as http:
        ids = [http.post("/tasks", json={"prompt": f"{number}"}).json()["id"] for number in range(50)]
    begun = time.monotonic()
    assert own.stop() == 0
    assert time.monotonic() - begun < 15
    started = [entry for entry in own.log if entry["event"] == "replication started"]
    assert len(started) == 1
    assert not Path(f"/proc/{started[0]['pid']}").exists()
    replication.restore(url, "qb.db", tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert {row[0] for row in db.execute("SELECT id FROM tasks")} == set(ids)


def test_litestream_is_started_again_when_it_dies(url: str, tmp_path: Path) -> None:
    own = new_server(tmp_path / "qb", "--replicate", url)
    own.start()
    try:
        deadline = time.monotonic() + PATIENCE
        first = next(entry for entry in own.log if entry["event"] == "replication started")
        os.kill(int(str(first["pid"])), signal.SIGKILL)
        while len([entry for entry in own.log if entry["event"] == "replication started"]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        own.stop()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///srv/replica", "file:///srv/replica/qb.db"),
        ("s3://bucket/qb/", "s3://bucket/qb/qb.db"),
        (
            "s3://bucket/qb?endpoint=http://127.0.0.1:9000&region=x",
            "s3://bucket/qb/qb.db?endpoint=http://127.0.0.1:9000&region=x",
        ),
        ("s3://bucket", "s3://bucket/qb.db"),
    ],
)
def test_a_place_keeps_the_options_of_its_url(url: str, place: str) -> None:
    assert replication.place_of(replication.checked_url(url), "qb.db") == place
