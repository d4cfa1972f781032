"""The outbox against an orchestrator that fails: what it will never take does not hold up the verdict behind it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qb.client import QbClient
from qb.contract.states import ReportStatus, Stream
from qb.contract.tasks import Assignment, StatusReport
from remote_runner.choices import WorkspaceMode
from remote_runner.journal import Journal
from remote_runner.journal_file import NoRoom
from remote_runner.records import Key, Piece
from remote_runner.reporter import BATCH_CHARS, PATIENCE_WITH_500, Reporter
from remote_runner.workspaces import Workspaces
from tests.runner.test_outage import Keyed

KEY = Key("11111111-1111-4111-8111-111111111111", 1)
LONG = "x" * BATCH_CHARS


class Outbox:
    """A journal with one attempt in it, and a reporter that empties it without ever waiting."""

    def __init__(self, journal: Journal, client: QbClient, folder: Path) -> None:
        self.journal = journal
        self.tries = 0
        self._stop = threading.Event()
        workspaces = Workspaces(folder, WorkspaceMode.SHARED, folder, None, "podman")
        self._reporter = Reporter(client, journal, Keyed(), workspaces, wait=self._wait)  # type: ignore[arg-type]
        journal.intend(Assignment(task_id=KEY.task_id, prompt="p", orchestrator_url="http://x"), "boot")

    def spool(self, *texts: str) -> None:
        """Output, a piece each."""
        for text in texts:
            self.journal.spool(KEY, [Piece(Stream.STDOUT, "t", text)], "")

    def empty(self) -> None:
        """Journal the verdict, and send until the orchestrator has taken it."""
        report = StatusReport(task_id=KEY.task_id, attempt=1, seq=2, status=ReportStatus.SUCCESS, exit_code=0)
        self.journal.finish(KEY, report)
        self._reporter.run(self._stop, lambda _: self._stop.set())
        assert self.tries < 5 * PATIENCE_WITH_500, "it goes on for ever"

    def _wait(self, stop: threading.Event, _: float) -> None:
        self.tries += 1
        if self.tries >= 5 * PATIENCE_WITH_500:
            stop.set()


@pytest.fixture
def outbox(orchestrator: Any, tmp_path: Path) -> Iterator[Outbox]:
    """An outbox whose reports go to the scripted orchestrator."""
    journal = Journal(tmp_path / "journal.db")
    with QbClient(orchestrator.url, api_key=orchestrator.key) as client:
        yield Outbox(journal, client, tmp_path)
    journal.close()


def test_output_that_is_answered_500_for_ever_makes_way_and_what_follows_comes_whole(
    orchestrator: Any, outbox: Outbox
) -> None:
    orchestrator.poison = ("poison",)
    outbox.spool(f"fine {LONG}", "poison", "in the same batch", LONG, "last")
    outbox.empty()
    assert orchestrator.verdict(KEY.task_id).status == "success"
    text = orchestrator.text(KEY.task_id)
    assert text.startswith("fine ")
    assert text.endswith("last")
    assert "poison" not in text
    assert "[23 bytes of output are missing here" in orchestrator.text(KEY.task_id, "stderr")
    assert outbox.tries == PATIENCE_WITH_500 - 1
    assert outbox.journal.spooled == 0


def test_where_not_even_the_mark_is_taken_the_verdict_comes_all_the_same(orchestrator: Any, outbox: Outbox) -> None:
    orchestrator.poison = ("poison", "missing here")
    outbox.spool("poison", LONG, LONG)
    outbox.empty()
    assert orchestrator.verdict(KEY.task_id).status == "success"
    assert outbox.tries == 2 * (PATIENCE_WITH_500 - 1)
    assert (outbox.journal.spooled, outbox.journal.senders()) == (0, [])


def test_a_disk_without_room_for_what_was_taken_has_it_sent_again(
    orchestrator: Any, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, settle = [NoRoom("full"), NoRoom("full")], outbox.journal.settle

    def settled(key: Key) -> None:
        if full:
            raise full.pop()
        settle(key)

    monkeypatch.setattr(outbox.journal, "settle", settled)
    outbox.spool("once")
    outbox.empty()
    assert [len(orchestrator.verdicts(KEY.task_id)), outbox.tries] == [3, 2]
    assert orchestrator.text(KEY.task_id) == "once"
    assert outbox.journal.senders() == []


def test_output_after_a_gap_that_nothing_can_fill_does_not_hold_up_the_verdict(
    orchestrator: Any, outbox: Outbox
) -> None:
    outbox.spool("taken", "and lost again by a restore")
    outbox.journal.sent(outbox.journal.letters(KEY))
    outbox.spool("more")
    outbox.empty()
    assert orchestrator.verdict(KEY.task_id).status == "success"
