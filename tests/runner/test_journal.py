"""The journal and the outbox: what is on disk, and what room it takes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qb.contract.states import ReportStatus, Stream
from qb.contract.tasks import Assignment, StatusReport
from remote_runner.journal import KEEP_SECONDS, Journal
from remote_runner.output import DROPPED, OutputPump
from remote_runner.records import Key, Kind, Phase, Piece

KEY = Key("11111111-task", 1)
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


def test_output_goes_before_artifacts_and_those_before_the_verdict(journal: Journal) -> None:
    journal.intend(ASSIGNMENT, "boot")
    journal.spool(KEY, [Piece(Stream.STDOUT, "t", "a"), Piece(Stream.STDERR, "t", "b")], "here")
    journal.spool(KEY, [Piece(Stream.STDOUT, "t", "c")], "there")
    journal.finish(KEY, [("x/y", "x__y")], verdict())
    kinds = [letter.kind for letter in journal.letters(KEY)]
    assert kinds == [Kind.OUTPUT] * 3 + [Kind.ARTIFACT, Kind.VERDICT]
    assert ['"seq":1' in journal.letters(KEY)[0].body, '"seq":3' in journal.letters(KEY)[2].body] == [True, True]
    assert journal.unsettled()[0].position == "there"


def test_a_settled_attempt_leaves_no_secret_and_no_letter(journal: Journal, tmp_path: Path) -> None:
    journal.intend(ASSIGNMENT, "boot")
    journal.finish(KEY, [], verdict())
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
    pump.close()
    journal.finish(KEY, [], verdict())
    bodies = [letter.body for letter in journal.letters(KEY)]
    assert "0 xxx" in bodies[0]
    assert DROPPED.strip() in bodies[1]
    assert [letter.kind for letter in journal.letters(KEY)][2:] == [Kind.VERDICT]
