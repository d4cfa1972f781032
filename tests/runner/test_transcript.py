"""The agent's log is read from a workspace that its program could fill with anything."""

import os
import sqlite3
from pathlib import Path

import pytest

from remote_runner import transcript
from remote_runner.transcript import read_transcript
from remote_runner.workspace import Workspace

BEGAN = 1_700_000_000


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "home" / ".crush").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    return Workspace(tmp_path / "home")


def written(workspace: Workspace) -> sqlite3.Connection:
    """A log as a Crush that was killed leaves it: what it wrote last is in the file beside it."""
    db = sqlite3.connect(workspace.home / ".crush" / "crush.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE sessions(id, parent_session_id, title, cost, created_at)")
    db.execute("CREATE TABLE messages(id, session_id, role, parts, created_at)")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("INSERT INTO sessions VALUES ('s', NULL, 't', 0.5, ?)", (BEGAN,))
    db.commit()
    return db


def read(workspace: Workspace) -> list[str]:
    scratch = workspace.home.parent / "scratch"
    found = [each.id for each in read_transcript(workspace, BEGAN, scratch)]
    assert list(scratch.iterdir()) == [], "the copy is gone"
    return found


def test_what_is_only_in_the_write_ahead_log_is_read_too(workspace: Workspace) -> None:
    db = written(workspace)
    assert (workspace.home / ".crush" / "crush.db-wal").stat().st_size > 0
    before = {path.name: path.read_bytes() for path in (workspace.home / ".crush").iterdir()}
    assert read(workspace) == ["s"]
    assert before == {path.name: path.read_bytes() for path in (workspace.home / ".crush").iterdir()}
    db.close()


def test_no_log_is_no_failure(workspace: Workspace) -> None:
    assert read(workspace) == []
    (workspace.home / ".crush").rmdir()
    assert read(workspace) == []


@pytest.mark.parametrize("part", [".crush", ".crush/crush.db", ".crush/crush.db-wal"])
def test_a_link_is_not_followed(workspace: Workspace, tmp_path: Path, part: str) -> None:
    written(workspace).close()
    path, kept = workspace.home / part, tmp_path / "kept"
    if not path.exists():
        kept.write_text("root:x:0:0")
    else:
        path.rename(kept)
    path.symlink_to(kept)
    assert read(workspace) == []


def test_a_pipe_does_not_hold_the_runner_up(workspace: Workspace) -> None:
    os.mkfifo(workspace.home / ".crush" / "crush.db")
    assert read(workspace) == []


def test_a_log_that_is_too_large_is_left(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    written(workspace).close()
    monkeypatch.setattr(transcript, "MOST_BYTES", 1000)
    assert read(workspace) == []


def test_what_is_no_database_is_left(workspace: Workspace) -> None:
    (workspace.home / ".crush" / "crush.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    assert read(workspace) == []
