"""`status` and `doctor` on a state directory that is not as it should be: they say so, and guess nothing."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qb.contract.tasks import Assignment
from remote_runner import doctor, status
from remote_runner.journal import Journal
from remote_runner.records import Key
from remote_runner.runner import main

KEY = Key("11111111-1111-4111-8111-111111111111", 1)
NOBODY = 65534


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one attempt, in a folder whose name means something in an address."""
    folder = tmp_path / "a#b?c%41d"
    folder.mkdir()
    journal = Journal(folder / "journal.db")
    journal.intend(Assignment(task_id=KEY.task_id, prompt="p", orchestrator_url="http://x"), "boot")
    journal.close()
    return folder


@contextlib.contextmanager
def somebody_else() -> Iterator[None]:
    """As a user that may not read what is root's."""
    user = os.geteuid()
    os.seteuid(NOBODY if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


def told(state: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, object]]:
    """What `status` prints, for people and for programs."""
    assert main(["status", "--state-dir", str(state)]) == 3
    text = capsys.readouterr().out
    assert main(["status", "--state-dir", str(state), "--json"]) == 3
    return text, json.loads(capsys.readouterr().out)


def test_the_journal_of_this_very_folder_is_read(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, found = told(state, capsys)
    assert found["attempts"] == [{"task_id": KEY.task_id, "attempt": 1, "phase": "intent"}]
    assert found["error"] is None
    assert f"{KEY.task_id} attempt 1: intent" in text


def test_a_damaged_journal_is_not_an_empty_one(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "journal.db").write_bytes(b"nothing of SQLite's" * 1000)
    text, found = told(state, capsys)
    assert "Journal          cannot be read: file is not a database" in text
    assert "Attempts" not in text
    assert (found["attempts"], found["waiting_reports"]) == (None, None)
    assert found["error"] == "cannot be read: file is not a database"


def test_a_locked_journal_is_not_an_empty_one(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(state / "journal.db", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        text, found = told(state, capsys)
    assert "cannot be read: database is locked" in text
    assert found["attempts"] is None


def test_a_journal_that_was_made_this_moment_is_empty(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "journal.db").write_bytes(b"")
    text, found = told(state, capsys)
    assert "Attempts         none" in text
    assert (found["attempts"], found["error"]) == ([], None)


def test_no_state_directory_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, found = told(tmp_path / "none", capsys)
    assert "Runner           not running" in text
    assert found["attempts"] == []


def test_a_state_directory_of_somebody_else_is_said_to_be_one(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state.chmod(0)
    with somebody_else():
        assert main(["status", "--state-dir", str(state), "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"remote_runner: {state} cannot be read: Permission denied")
    options = ["--victoria-home", str(state / "home"), "--container-runtime", "no-podman", "--json"]
    with somebody_else():
        command = ["doctor", "--state-dir", str(state), "--orchestrator-url", "http://127.0.0.1:1", *options]
        assert main(command) == 1
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["state directory"]["found"] == f"{state} cannot be written"
    assert found["identity"]["found"] == f"{state} cannot be read: Permission denied"
    assert found["identity"]["mend"] == doctor.AS_ITS_USER
