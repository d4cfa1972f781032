"""A journal without room: output goes first, what is counted stays right, and the verdict comes through."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qb.contract.states import ReportStatus, Stream
from qb.contract.tasks import Assignment, OutputChunk, StatusReport
from remote_runner.journal import Journal
from remote_runner.journal_file import NoRoom
from remote_runner.output import OutputPump
from remote_runner.records import Key, Kind, Phase, Piece

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
