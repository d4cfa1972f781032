"""`qb db`: backups of a serving control plane, restores, checks."""

import json
import sqlite3
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_server import Server, new_server


def kept(server: Server, text: bytes = b"1,2,3\n") -> dict[str, str]:
    """A task with a file, on a running server; its id and the file's SHA-256."""
    with server.http() as http:
        upload = http.post("/upload", files={"file": ("numbers.csv", text)}).json()
        task = http.post("/tasks", json={"prompt": "sum up", "files": [upload["filename"]]}).json()
        return {"task": task["id"], "checksum": upload["checksum"]}


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_backup_of_a_serving_control_plane_is_whole_and_comes_back(
    name: str, qb: Any, server: Server, tmp_path: Path
) -> None:
    made = kept(server)
    assert (
        qb("dashboard", "user", "add", "dora", "--data-dir", str(server.data_dir), stdin=b"correct horse\n").code == 0
    )
    stop = threading.Event()

    def write() -> None:
        with server.http() as http:
            while not stop.is_set():
                assert http.post("/tasks", json={"prompt": "meanwhile"}).status_code == 201

    busy = threading.Thread(target=write)
    busy.start()
    try:
        ran = qb("db", "backup", str(tmp_path / name), "--data-dir", str(server.data_dir), "-o", "json")
    finally:
        stop.set()
        busy.join()
    assert (ran.code, json.loads(ran.out)["blobs"]) == (0, 1)
    server.kill()
    new = tmp_path / "new"
    ran = qb("db", "restore", str(tmp_path / name), "--data-dir", str(new))
    assert ran.code == 0, ran.err
    assert "restored as epoch 1" in ran.out
    assert qb("db", "check", "--data-dir", str(new)).code == 0
    assert (new / "secret").read_bytes() == (server.data_dir / "secret").read_bytes()
    accounts = "dashboard/accounts.json"
    assert (new / accounts).read_bytes() == (server.data_dir / accounts).read_bytes()
    assert {(new / part).stat().st_mode & 0o777 for part in ("secret", "keys.db", accounts)} == {0o600}
    assert (new / "dashboard").stat().st_mode & 0o777 == 0o700
    again = Server(new, server.admin_key, server.registration_token)
    again.start()
    try:
        with again.http() as http:
            assert http.get(f"/tasks/{made['task']}").json()["files"] == ["numbers.csv"]
    finally:
        again.stop()


def test_a_backup_is_refused_where_something_is(qb: Any, tmp_path: Path) -> None:
    own = new_server(tmp_path / "qb")
    (tmp_path / "taken").mkdir()
    ran = qb("db", "backup", str(tmp_path / "taken"), "--data-dir", str(own.data_dir))
    assert (ran.code, "exists already" in ran.err) == (6, True)
    assert qb("db", "backup", str(tmp_path / "b"), "--data-dir", str(tmp_path / "none")).code == 5


def test_a_damaged_backup_is_refused_and_leaves_nothing(qb: Any, tmp_path: Path) -> None:
    own = new_server(tmp_path / "qb")
    for name in ("b", "b.tar"):
        assert qb("db", "backup", str(tmp_path / name), "--data-dir", str(own.data_dir)).code == 0
    with (tmp_path / "b" / "keys.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"x")
    ran = qb("db", "restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "new"))
    assert ran.code != 0
    assert "keys.db is not what the manifest says" in ran.err
    with (tmp_path / "b.tar").open("r+b") as file:
        file.truncate(60_000)
    assert qb("db", "restore", str(tmp_path / "b.tar"), "--data-dir", str(tmp_path / "new")).code != 0
    (tmp_path / "b" / "manifest.json").unlink()
    assert "has no manifest.json" in qb("db", "restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "new")).err
    assert not (tmp_path / "new").exists()


def test_a_tar_that_leads_out_of_its_folder_is_refused(qb: Any, tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(tmp_path / "evil", arcname="../evil")
    ran = qb("db", "restore", str(tmp_path / "evil.tar"), "--data-dir", str(tmp_path / "new"))
    assert (ran.code, "which no backup has" in ran.err) == (2, True)


def test_a_restore_never_touches_a_control_plane(qb: Any, server: Server, tmp_path: Path) -> None:
    assert qb("db", "backup", str(tmp_path / "b"), "--data-dir", str(server.data_dir)).code == 0
    ran = qb("db", "restore", str(tmp_path / "b"), "--data-dir", str(server.data_dir))
    assert (ran.code, "is being served" in ran.err) == (6, True)
    server.stop()
    ran = qb("db", "restore", str(tmp_path / "b"), "--data-dir", str(server.data_dir))
    assert (ran.code, "is not empty" in ran.err) == (6, True)


def test_what_was_pending_can_be_cancelled_at_the_restore(qb: Any, server: Server, tmp_path: Path) -> None:
    task = kept(server)["task"]
    with server.http() as http:
        after = http.post("/tasks", json={"prompt": "then", "depends_on": [task]}).json()["id"]
        last = http.post("/tasks", json={"prompt": "tidy", "depends_on": [after], "on_failure": "run"}).json()["id"]
        schedule = http.post("/tasks", json={"prompt": "daily", "recurrence": "0 13 * * *"}).json()["id"]
    assert qb("db", "backup", str(tmp_path / "b"), "--data-dir", str(server.data_dir)).code == 0
    ran = qb("db", "restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "n"), "--cancel-pending", "-o", "json")
    assert ran.code == 0, ran.err
    assert {key: json.loads(ran.out)[key] for key in ("cancelled", "pending")} == {"cancelled": 3, "pending": 0}
    with closing(sqlite3.connect(tmp_path / "n" / "qb.db")) as db:
        ends = {row[0]: row[1:] for row in db.execute("SELECT id, status, reason FROM tasks")}
        assert db.execute("SELECT count(*) FROM schedules WHERE next_run_at IS NOT NULL").fetchone() == (1,)
    assert ends == {
        task: ("cancelled", "cancelled_by_operator"),
        after: ("cancelled", "dependency_failed"),
        last: ("cancelled", "cancelled_by_operator"),
        schedule: ("pending", None),
    }
    ran = qb("db", "restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "m"), "-o", "json")
    assert {key: json.loads(ran.out)[key] for key in ("cancelled", "pending")} == {"cancelled": 0, "pending": 3}


def test_check_finds_missing_damaged_and_orphaned_blobs_and_rows_that_cannot_be(
    qb: Any, server: Server, tmp_path: Path
) -> None:
    missing, damaged = kept(server, b"a")["checksum"], kept(server, b"b")["checksum"]
    held = kept(server, b"c")["task"]
    assert qb("db", "check", "--data-dir", str(server.data_dir)).code == 0
    server.stop()
    blobs = server.data_dir / "blobs"
    (blobs / missing[:2] / missing).unlink()
    (blobs / damaged[:2] / damaged).write_bytes(b"other")
    orphan = blobs / "ff" / ("f" * 64)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"")
    with closing(sqlite3.connect(server.data_dir / "qb.db")) as db, db:
        db.execute(
            "UPDATE tasks SET status = 'assigned', claimable = 0, lease_expires_at = '2026', "
            "assigned_node_id = 'nobody' WHERE id = ?",
            (held,),
        )
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("DELETE FROM placements")
    ran = qb("db", "check", "--data-dir", str(server.data_dir), "-o", "json")
    assert ran.code == 1
    told = "\n".join(json.loads(ran.out)["problems"])
    for words in (
        f"blob {missing} is missing",
        f"blob {damaged} is damaged",
        f"held by a node that is not there: {held}",
        f"has no attempt written down: {held}",
        "refers to a row of placements that is not there",
    ):
        assert words in told
    assert f"blob {'f' * 64} is damaged" in told


def test_migrate_waits_for_no_server(qb: Any, server: Server) -> None:
    ran = qb("db", "migrate", "--data-dir", str(server.data_dir))
    assert (ran.code, "is served by another server" in ran.err) == (6, True)
    server.stop()
    assert "up to date" in qb("db", "migrate", "--data-dir", str(server.data_dir)).out
