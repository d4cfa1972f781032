"""The journal and the outbox: what is on disk, and what room it takes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qb.contract.logs import Session, SessionUpload
from qb.contract.states import ReportStatus, Stream
from qb.contract.tasks import Assignment, StatusReport
from remote_runner.journal import KEEP_SECONDS, Journal
from remote_runner.output import OutputPump
from remote_runner.records import Key, Kind, Phase, Piece

KEY = Key("11111111-1111-4111-8111-111111111111", 1)
SESSION = SessionUpload(task_id=KEY.task_id, attempt=1, session=Session(id="s"))
ASSIGNMENT = Assignment(task_id=KEY.task_id, prompt="p", orchestrator_url="http://x", task_token="qbt_secret")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db")
    yield made
    made.close()


def verdict() -> StatusReport:
    return StatusReport(task_id=KEY.task_id, attempt=1, seq=2, status=ReportStatus.SUCCESS, exit_code=0)


def test_an_attempt_is_taken_once(journal: Journal) -> None:
    assert journal.intend(ASSIGNMENT, "boot")
    assert not journal.intend(ASSIGNMENT, "boot")
    assert journal.phase(KEY) is Phase.INTENT
    assert journal.held() == [KEY]


def sent_one_by_one(journal: Journal) -> list[Kind]:
    kinds = []
    while letters := journal.letters(KEY):
        kinds += [letter.kind for letter in letters]
        journal.sent(letters)
    return kinds


def test_output_goes_before_the_log_then_artifacts_then_the_verdict(journal: Journal) -> None:
    journal.intend(ASSIGNMENT, "boot")
    journal.spool(KEY, [Piece(Stream.STDOUT, "t", "a"), Piece(Stream.STDERR, "t", "b")], "here")
    journal.spool(KEY, [Piece(Stream.STDOUT, "t", "c")], "there")
    journal.finish(KEY, verdict(), sessions=[SESSION], artifacts=[("x/y", "x__y")])
    assert ['"seq":1' in journal.letters(KEY)[0].body, '"seq":3' in journal.letters(KEY)[2].body] == [True, True]
    assert journal.unsettled()[0].position == "there"
    assert sent_one_by_one(journal) == [Kind.OUTPUT] * 3 + [Kind.SESSION, Kind.ARTIFACT, Kind.VERDICT]


def test_a_settled_attempt_leaves_no_secret_and_no_letter(journal: Journal, tmp_path: Path) -> None:
    journal.intend(ASSIGNMENT, "boot")
    journal.finish(KEY, verdict())
    assert journal.spooled > 0
    journal.settle(KEY)
    assert (journal.spooled, journal.senders(), journal.unsettled()) == (0, [], [])
    assert not journal.intend(ASSIGNMENT, "boot")
    with sqlite3.connect(tmp_path / "journal.db") as db:
        assert db.execute("SELECT assignment FROM attempts").fetchone() == ("",)
    db.close()


def test_a_settled_attempt_is_forgotten_in_the_end(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal.db", now=lambda: 0.0)
    first.intend(ASSIGNMENT, "boot")
    first.settle(KEY)
    first.close()
    second = Journal(tmp_path / "journal.db", now=lambda: KEEP_SECONDS + 1.0)
    second.forget()
    assert second.phase(KEY) is Phase.REPORTED, "its workspace is still there"
    second.swept(KEY)
    second.forget()
    assert second.phase(KEY) is None
    second.close()


def test_the_outbox_survives_the_process(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal.db")
    first.intend(ASSIGNMENT, "boot")
    first.spool(KEY, [Piece(Stream.STDOUT, "t", "a" * 100)], "p")
    first.close()
    second = Journal(tmp_path / "journal.db")
    assert second.spooled > 100
    assert len(second.letters(KEY)) == 1
    second.close()


def test_a_full_spool_drops_output_with_one_mark_and_keeps_the_verdict(journal: Journal, tmp_path: Path) -> None:
    journal.intend(ASSIGNMENT, "boot")
    log = tmp_path / "log"
    woken: list[None] = []
    pump = OutputPump(journal.unsettled()[0], log, journal, 200, lambda: woken.append(None))
    for number in range(5):
        with log.open("ab") as file:
            file.write(b"2026-01-01T00:00:00Z stdout F %d %s\n" % (number, b"x" * 300))
        assert pump.pump()
    pump.drain()
    pump.close()
    journal.finish(KEY, verdict())
    bodies = [letter.body for letter in journal.letters(KEY)]
    assert "0 xxx" in bodies[0]
    assert f"[{4 * 333} bytes of output are missing here" in bodies[1]
    assert sent_one_by_one(journal) == [Kind.OUTPUT] * 2 + [Kind.VERDICT]


def test_a_refused_attempt_is_known_and_has_a_verdict_only(journal: Journal) -> None:
    assert journal.refuse(ASSIGNMENT, "boot", verdict())
    assert not journal.refuse(ASSIGNMENT, "boot", verdict())
    assert journal.phase(KEY) is Phase.EXITED
    assert sent_one_by_one(journal) == [Kind.VERDICT]


def test_a_journal_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db").close()
    with sqlite3.connect(tmp_path / "journal.db") as old:
        old.execute("ALTER TABLE attempts DROP COLUMN swept")
    old.close()
    journal = Journal(tmp_path / "journal.db", now=lambda: 100.0)
    journal.intend(ASSIGNMENT, "boot")
    journal.settle(KEY)
    assert journal.unswept(-1) == [KEY]
    journal.close()
