"""Crush's log through the reporter to a real control plane, and beside it through the runner: nothing counts twice."""

import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_status import crush
from mcp_status.crush import send_logs
from mcp_status.crush_log import LogsSent, NoTranscript, Wanted
from qb.client import QbClient
from qb.contract.logs import SessionUpload
from remote_runner.transcript import read_transcript
from remote_runner.workspace import Workspace
from tests.fixtures_server import Server
from tests.mcp_status.begun import begun
from tests.mcp_status.crush_files import EVERY_PART, session, write

FAMILY = [
    ("main", None, 1000, 2.0),
    ("child-1", "main", 200, 0.5),
    ("child-2", "main", 300, 0.25),
    ("grandchild", "child-1", 50, 0.125),
    ("other", None, 10, 1.0),
]


@dataclass
class Job:
    """A task that runs on a node, with what its agent and its runner may do."""

    id: str
    home: Path
    agent: QbClient
    node: QbClient
    admin: QbClient
    began: int

    @property
    def database(self) -> Path:
        return self.home / ".crush" / "crush.db"

    def by_reporter(self, session_id: str | None = None) -> LogsSent:
        return send_logs(self.agent, self.id, [self.home / ".crush"], Wanted(self.began, session_id), 60)

    def by_runner(self) -> list[str]:
        scratch = self.home.parent / "scratch"
        scratch.mkdir(exist_ok=True)
        found = read_transcript(Workspace(self.home), self.began, scratch)
        for each in found:
            self.node.report_session(SessionUpload(task_id=self.id, attempt=1, session=each))
        return [each.id for each in found]

    def cost_and_tokens(self) -> tuple[float | None, int | None]:
        task = self.admin.task(self.id)
        return task.cost, task.tokens


@pytest.fixture
def job(shared_server: Server, tmp_path: Path) -> Iterator[Job]:
    with begun(shared_server) as task:
        # as a container's clock has it: not before the task was handed out
        yield Job(task.id, tmp_path / "home", task.agent, task.node, task.admin, int(time.time()) + 1)


def family(began: int) -> list[list[Any]]:
    return [
        session(number, began + place, parent=parent, tokens=tokens, cost=cost)
        for place, (number, parent, tokens, cost) in enumerate(FAMILY)
    ]


def test_sessions_and_sub_agents_cost_what_crush_says_however_often_and_by_whom_they_are_sent(job: Job) -> None:
    write(job.database, family(job.began))
    expected = (3.0, round(1560 * 1.1))
    sent = job.by_reporter()
    assert (sorted(sent.sessions), sent.cost, sent.tokens) == (sorted(each[0] for each in FAMILY), *expected)
    assert job.cost_and_tokens() == expected
    assert sorted(job.by_runner()) == sorted(sent.sessions)
    assert job.cost_and_tokens() == expected
    job.by_reporter()
    assert job.cost_and_tokens() == expected
    assert len(job.admin.logs(job.id)) == len(FAMILY)


def test_one_session_is_sent_with_its_sub_agents_and_without_the_others(job: Job) -> None:
    write(job.database, family(job.began - 3600))
    assert sorted(job.by_reporter("child-1").sessions) == ["child-1", "grandchild"]
    with pytest.raises(NoTranscript, match="its newest are other, grandchild"):
        job.by_reporter("nowhere")
    with pytest.raises(NoTranscript, match="no such session"):
        job.by_reporter()


def test_every_kind_of_part_arrives_unchanged(job: Job) -> None:
    write(job.database, [session("s", job.began)], [("m1", "user", EVERY_PART[:1]), ("m2", "assistant", EVERY_PART)])
    job.by_reporter()
    [log] = job.admin.logs(job.id)
    assert [(m["id"], m["role"]) for m in log.messages or []] == [("m1", "user"), ("m2", "assistant")]
    assert (log.messages or [])[1]["content"].count('"type"') == len(EVERY_PART)


@pytest.mark.parametrize("way", ["reporter", "runner"])
def test_of_a_database_that_was_cut_off_what_can_be_read_is_sent(job: Job, way: str) -> None:
    messages = [(f"m{number:04}", "assistant", "x" * 3000) for number in range(500)]
    write(job.database, [session("s", job.began)], messages)
    os.truncate(job.database, job.database.stat().st_size * 3 // 4)
    if way == "reporter":
        assert job.by_reporter().sessions == ["s"]
    else:
        assert job.by_runner() == ["s"]
    [log] = job.admin.logs(job.id)
    *kept, note = log.messages or []
    assert "cannot be read" in note["content"]
    assert [message["id"] for message in kept] == [f"m{number:04}" for number in range(len(kept))]
    assert len(kept) > 250
    assert job.cost_and_tokens() == (0.25, 110)


def test_what_is_no_database_or_none_of_crushs_is_said_and_nothing_sent(job: Job) -> None:
    job.database.parent.mkdir(parents=True)
    with pytest.raises(NoTranscript, match=r"looked for crush\.db in"):
        job.by_reporter()
    job.database.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    with pytest.raises(NoTranscript, match="cannot be read"):
        job.by_reporter()
    job.database.unlink()
    with sqlite3.connect(job.database) as db:
        db.execute("CREATE TABLE other (a)")
    with pytest.raises(NoTranscript, match="no tables sessions and messages"):
        job.by_reporter()
    assert job.by_runner() == [] and job.admin.logs(job.id) == []


def test_a_link_in_place_of_the_database_is_not_followed(job: Job, tmp_path: Path) -> None:
    real = write(tmp_path / "elsewhere" / "crush.db", [session("s", job.began)])
    job.database.parent.mkdir(parents=True)
    job.database.symlink_to(real)
    with pytest.raises(NoTranscript, match="a link or a device"):
        job.by_reporter()
    assert job.by_runner() == [] and job.admin.logs(job.id) == []


def test_of_200_megabytes_the_newest_messages_are_sent_and_a_message_says_how_many_are_not(job: Job) -> None:
    messages = ((f"m{number:03}", "assistant", f"{number} " + "x" * (1 << 20)) for number in range(200))
    write(job.database, [session("s", job.began)], messages)
    assert job.database.stat().st_size > 200 << 20
    began = time.monotonic()
    sent = job.by_reporter()
    assert (sent.sessions, sent.messages) == (["s"], 10)
    assert time.monotonic() - began < crush.READ_SECONDS
    assert job.by_runner() == ["s"]
    [log] = job.admin.logs(job.id)
    first, *kept = log.messages or []
    assert "191 oldest messages are left out" in first["content"]
    assert [message["id"] for message in kept] == [f"m{number:03}" for number in range(191, 200)]
    assert job.cost_and_tokens() == (0.25, 110)


def test_a_log_that_crush_still_writes_is_read_beside_it(job: Job) -> None:
    write(job.database, [session("s", job.began)])
    with sqlite3.connect(job.database, isolation_level=None) as db:
        db.execute("UPDATE sessions SET cost = 0.5")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE sessions SET cost = 9")
        assert job.by_reporter().cost == 0.5
        db.execute("ROLLBACK")
    db.close()
