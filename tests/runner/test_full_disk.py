"""A journal without room: output goes first, what is counted stays right, and the verdict comes through."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qb.contract.states import ReportStatus, Stream
from qb.contract.tasks import Assignment, OutputChunk, StatusReport
from remote_runner.attempt import Attempt
from remote_runner.choices import WorkspaceMode
from remote_runner.intake import Intake, Offer
from remote_runner.journal import Journal
from remote_runner.journal_file import RESERVE_BYTES, NoRoom
from remote_runner.output import OutputPump
from remote_runner.records import Key, Kind, Phase, Piece
from remote_runner.room import when_there_is_room
from remote_runner.workspaces import Workspaces, sweep_regularly

KEY = Key("11111111-1111-4111-8111-111111111111", 1)
ASSIGNMENT = Assignment(task_id=KEY.task_id, prompt="p", orchestrator_url="http://x")
BIG = Piece(Stream.STDOUT, "t", "x" * 100_000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal with one attempt."""
    made = Journal(tmp_path / "journal.db")
    made.intend(ASSIGNMENT, "boot")
    yield made
    made.close()


def allow(journal: Journal, pages: int) -> None:
    """Let the file grow by so many pages, and no further."""
    (now,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={now + pages}")


def waiting(path: Path) -> int:
    """What the spool counter should say."""
    with sqlite3.connect(path) as db:
        (size,) = db.execute("SELECT coalesce(sum(size), 0) FROM outbox").fetchone()
    db.close()
    return int(size)


def verdict() -> StatusReport:
    return StatusReport(task_id=KEY.task_id, attempt=1, seq=2, status=ReportStatus.SUCCESS, exit_code=0)


def test_a_write_without_room_says_so_and_changes_nothing(journal: Journal, tmp_path: Path) -> None:
    journal.spool(KEY, [Piece(Stream.STDOUT, "t", "before")], "before")
    before = journal.spooled
    allow(journal, 4)
    for _ in range(3):
        with pytest.raises(NoRoom, match=r"journal\.db cannot be written: database or disk is full"):
            journal.spool(KEY, [Piece(Stream.STDOUT, "t", "fits"), BIG], "after")
    assert journal.spooled == before == waiting(tmp_path / "journal.db")
    assert journal.unsettled()[0].position == "before"
    journal.spool(KEY, [Piece(Stream.STDOUT, "t", "small")], "small")
    assert [OutputChunk.model_validate_json(each.body).seq for each in journal.letters(KEY)] == [1, 2]


def test_a_commit_that_fails_is_undone(journal: Journal, tmp_path: Path) -> None:
    # what is checked at the commit alone, as a full disk is
    journal._db.execute("PRAGMA foreign_keys=ON")
    journal._db.executescript(
        "CREATE TABLE parents(id INTEGER PRIMARY KEY);"
        "CREATE TABLE children(id REFERENCES parents(id) DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TRIGGER late AFTER INSERT ON outbox BEGIN INSERT INTO children VALUES (new.id); END;"
    )
    with pytest.raises(sqlite3.IntegrityError):
        journal.spool(KEY, [Piece(Stream.STDOUT, "t", "a")], "after")
    assert journal.spooled == 0
    journal._db.execute("DROP TRIGGER late")
    journal.spool(KEY, [Piece(Stream.STDOUT, "t", "b")], "after")
    assert journal.spooled == waiting(tmp_path / "journal.db")


def test_output_makes_way_for_the_verdict_and_a_line_says_how_much(journal: Journal, tmp_path: Path) -> None:
    log = tmp_path / "log"
    pump = OutputPump(journal.unsettled()[0], log, journal, 1 << 30, lambda: None)
    with log.open("ab") as file:
        file.write(b"2026-01-01T00:00:00Z stdout F first\n")
    assert pump.pump()
    allow(journal, 6)
    with log.open("ab") as file:
        for _ in range(5):
            file.write(b"2026-01-01T00:00:00Z stdout F %s\n" % (b"x" * 10_000))
    pump.drain()
    pump.close()
    journal.finish(KEY, verdict())
    letters = []
    while found := journal.letters(KEY):
        letters += found
        journal.sent(found)
    assert [each.kind for each in letters] == [Kind.OUTPUT, Kind.OUTPUT, Kind.VERDICT]
    assert "[50005 bytes of output are missing here: the node's disk was full]" in letters[1].body
    assert journal.phase(KEY) is Phase.EXITED
    assert journal.spooled == 0


def test_a_disk_that_is_really_full_takes_the_verdict_and_no_output(small_disk: Any) -> None:
    journal = Journal(small_disk.path / "journal.db")
    journal.intend(ASSIGNMENT, "boot")
    small_disk.fill()
    with pytest.raises(NoRoom):
        journal.spool(KEY, [BIG], "after")
    journal.finish(KEY, verdict(), artifacts=[("a" * 1000, "a")] * 300)
    assert journal.letters(KEY)[0].kind is Kind.ARTIFACT
    journal.settle(KEY)
    assert journal.spooled == 0
    small_disk.release()
    second = Key(KEY.task_id, 2)
    journal.intend(ASSIGNMENT.model_copy(update={"attempt": 2}), "boot")
    journal.settle(second)
    assert (small_disk.path / "journal.reserve").stat().st_blocks * 512 == RESERVE_BYTES, "kept for the next time"
    journal.close()


def test_a_journal_is_opened_on_a_full_disk(small_disk: Any) -> None:
    first = Journal(small_disk.path / "journal.db")
    first.intend(ASSIGNMENT, "boot")
    first.close()
    small_disk.fill()
    second = Journal(small_disk.path / "journal.db")
    assert second.held() == [KEY]
    second.finish(KEY, verdict())
    second.close()


def test_what_finds_no_room_at_all_waits_for_it(small_disk: Any, until: Any) -> None:
    journal = Journal(small_disk.path / "journal.db")
    journal.intend(ASSIGNMENT, "boot")
    small_disk.fill()
    tries: list[str] = []

    def write() -> None:
        tries.append("once more")
        journal.spool(KEY, [BIG], "after")

    waiting = threading.Thread(target=when_there_is_room, args=(write, threading.Event()))
    waiting.start()
    until(lambda: len(tries) > 1, what="another try")
    assert journal.letters(KEY) == []
    small_disk.release()
    until(lambda: not waiting.is_alive(), what="the end of the wait")
    assert len(journal.letters(KEY)) == 1
    journal.close()


def test_a_full_disk_takes_no_task_and_does_not_end_who_brings_it(journal: Journal) -> None:
    begun: list[Any] = []
    executor: Any = SimpleNamespace(free=True, run=begun.append)
    intake = Intake(journal, executor, "boot")
    other = ASSIGNMENT.model_copy(update={"task_id": "22222222-2222-4222-8222-222222222222", "prompt": "p" * 50_000})
    allow(journal, 4)
    offer, why = intake.offer(other)
    assert offer is Offer.BUSY
    assert "disk is full" in why
    assert (begun, intake.taken.is_set()) == ([], False)
    wrong = other.model_copy(update={"files": ["../x"] * 10_000})
    allow(journal, 0)
    offers = [intake.offer(wrong.model_copy(update={"attempt": attempt}))[0] for attempt in range(1, 100)]
    assert offers[-1] is Offer.BUSY, "a refusal that is not journalled is not one"
    allow(journal, 1000)
    assert intake.offer(other)[0] is Offer.ACCEPTED
    assert len(begun) == 1


def test_a_cancel_and_a_sweep_that_find_no_room_are_done_all_the_same(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Key) -> None:
        raise NoRoom("full")

    monkeypatch.setattr(journal, "cancel", full)
    monkeypatch.setattr(journal, "swept", full)
    workspaces = Workspaces(tmp_path, WorkspaceMode.SHARED, tmp_path, None, "podman")
    config = SimpleNamespace(spool_limit=1, out_limit=1)
    stop = threading.Event()
    tools: Any = SimpleNamespace(journal=journal, workspaces=workspaces, config=config, engine=None, stop=stop)
    tools.pid_path = tools.log_path = lambda key: tmp_path / key.short
    tools.outbox_filled = lambda: None
    attempt = Attempt(journal.unsettled()[0], tools)
    attempt.cancel()
    assert attempt._halt.is_set()
    workspaces.prepare(KEY)
    journal.settle(KEY)
    monkeypatch.setattr(stop, "wait", lambda _: stop.set())
    sweep_regularly(workspaces, journal, -1, stop)
    assert not (tmp_path / "tasks" / KEY.short).exists()


@pytest.mark.podman
def test_a_task_under_which_the_disk_fills_keeps_its_container_and_its_exit_code(
    orchestrator: Any, small_disk: Any, runner: Any, until: Any
) -> None:
    # the disk comes before the runner, which is cleaned up by what its state directory says
    runner.state = small_disk.path / "state"
    runner.start("--state-dir", str(runner.state))
    task = orchestrator.assign(
        "echo begun; until [ -e /workspace/Victoria/go ]; do sleep 0.1; done; seq 1 40000; exit 3"
    )
    until(lambda: orchestrator.output, what="output")
    small_disk.fill(leave=96 << 10)
    (runner.home / "go").touch()
    report = orchestrator.verdict(task)
    assert (report.reason, report.exit_code) == ("exit_nonzero", 3), report
    assert orchestrator.text(task).startswith("begun\n")
    small_disk.release()
    assert orchestrator.verdict(orchestrator.assign("echo well")).status == "success"
    assert "Traceback" not in runner.logged()
