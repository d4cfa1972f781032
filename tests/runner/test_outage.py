"""Two hours without the orchestrator: what was spooled comes, whole and once."""

import threading
from pathlib import Path
from typing import Any

import pytest

from qb.contract.logs import Session, SessionUpload
from qb.contract.nodes import Register
from qb.contract.states import ReportStatus, Stream
from qb.contract.tasks import StatusReport, TaskCreate
from remote_runner.choices import WorkspaceMode
from remote_runner.journal import Journal
from remote_runner.records import Key, Piece
from remote_runner.reporter import Reporter
from remote_runner.workspaces import Workspaces

OUTAGE = 2 * 3600.0


class Hours:
    """A clock that waiting moves on; when the outage is over it has the server started."""

    def __init__(self, journal: Journal, key: Key, server: Any) -> None:
        self.now = 0.0
        self.lines = 0
        self._journal = journal
        self._key = key
        self._server = server

    def wait(self, stop: threading.Event, seconds: float) -> None:
        """Let the time pass, in which the container goes on writing."""
        if self.now < OUTAGE <= self.now + seconds:
            self._server.start()
        self.now += seconds
        if self.now < OUTAGE and len(self._journal.letters(self._key)) < 150:
            self.lines += 1
            self._journal.spool(self._key, [Piece(Stream.STDOUT, "t", f"line {self.lines}\n")], str(self.lines))


class Keyed:
    """A membership whose key is good."""

    key = "given"

    def renew(self, _: str | None) -> bool:
        return True


@pytest.fixture
def running(server: Any) -> Any:
    """A task that a node runs; the node's client."""
    with server.client() as admin:
        made = admin.create_task(TaskCreate(prompt="p", timeout_seconds=None))
    with server.joining() as joining:
        node = joining.register(Register(hostname="box", name="box", os_type="linux", wire=2, slots=1))
    client = server.client(node.api_key)
    given = client.poll()
    assert given.task_id == made.id
    client.report_status(StatusReport(task_id=made.id, attempt=1, seq=1, status=ReportStatus.RUNNING))
    yield client, given
    client.close()


def test_two_hours_of_outage_lose_nothing_and_double_nothing(running: Any, server: Any, tmp_path: Path) -> None:
    client, given = running
    key = Key(given.task_id, 1)
    journal = Journal(tmp_path / "journal.db")
    journal.intend(given, "boot")
    workspaces = Workspaces(tmp_path / "home", WorkspaceMode.SHARED, tmp_path / "own", None, "podman")
    workspaces.prepare(key)
    (tmp_path / "home" / "tasks" / key.short / "out" / "made").write_text("made\n")
    journal.spool(key, [Piece(Stream.STDOUT, "t", "line 0\n")], "0")
    server.stop()
    hours, stop, settled = Hours(journal, key, server), threading.Event(), []

    def wait(event: threading.Event, seconds: float) -> None:
        assert hours.now < OUTAGE + 600, "the server answers again, and nothing comes through"
        before = hours.now
        hours.wait(event, seconds)
        if before < OUTAGE <= hours.now:
            verdict = StatusReport(task_id=key.task_id, attempt=1, seq=2, status=ReportStatus.SUCCESS, exit_code=0)
            upload = SessionUpload(task_id=key.task_id, attempt=1, session=Session(id="s", title="t", cost=0.25))
            journal.finish(key, verdict, sessions=[upload], artifacts=[("made", "made")])

    def end(done: Key) -> None:
        settled.append(done)
        stop.set()

    reporter = Reporter(client, journal, Keyed(), workspaces, wait=wait)  # type: ignore[arg-type]
    reporter.run(stop, end)
    assert (settled, journal.senders()) == ([key], [])
    assert hours.now >= OUTAGE
    assert hours.lines > 100
    with server.client() as admin:
        text = "".join(line.text for line in admin.task_output(key.task_id))
        assert text == "".join(f"line {number}\n" for number in range(hours.lines + 1))
        assert [each.name for each in admin.artifacts(key.task_id)] == ["made"]
        assert [each.id for each in admin.logs(key.task_id)] == ["s"]
        found = admin.task(key.task_id)
    assert (found.status, found.exit_code, found.cost) == ("success", 0, 0.25)
    journal.close()
