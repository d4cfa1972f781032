"""`qb task`, against the API played on loopback."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from qb.contract.errors import ErrorCode
from qb.contract.states import Reason, Stream, TaskStatus
from qb.contract.tasks import Artifact, OutputLine, TaskCreated, Upload

ONE = "3f2a0000-0000-4000-8000-000000000001"
TWO = "3f2b0000-0000-4000-8000-000000000002"
EVENTS = f"/tasks/{ONE}/events"


def test_create_sends_what_the_options_say(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("POST", "/tasks", make_task(), 201)
    options = [
        "--to",
        "client-*",
        "--tag",
        "site=berlin",
        "--priority",
        "5",
        "--timeout",
        "1h30m",
        "--max-attempts",
        "2",
    ]
    ran = qb("task", "create", "Do it", *options, "-o", "id")
    assert (ran.code, ran.out, ran.err) == (0, f"{ONE}\n", "")
    sent = connected.seen[0]
    assert sent.headers["X-API-Key"] == "qba_test"
    assert sent.json() == {
        "prompt": "Do it",
        "target_node_name": "client-*",
        "target_tags": {"site": "berlin"},
        "priority": 5,
        "timeout_seconds": 5400,
        "max_attempts": 2,
        "strict": False,
        "backoff_seconds": 10,
        "missed_runs": "skip",
        "on_failure": "cancel",
    }


def test_create_sends_what_a_task_may_use_and_insists_on(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("POST", "/tasks", make_task(), 201)
    options = ["--memory", "2G", "--cpus", "0.5", "--pids", "64", "--needs", "cancel", "--needs", "time_limit"]
    assert qb("task", "create", "Do it", *options, "-o", "id").code == 0
    sent = connected.seen[0].json()
    assert sent["limits"] == {"memory_mb": 2048, "cpus": 0.5, "pids": 64}
    assert sent["needs"] == ["cancel", "time_limit"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--memory", "1M"], "--memory"),
        (["--cpus", "0"], "--cpus"),
        (["--pids", "1"], "--pids"),
        (["--needs", "x"], "--needs"),
    ],
)
def test_create_names_the_option_that_cannot_be(qb: Any, connected: Any, options: list[str], named: str) -> None:
    ran = qb("task", "create", "Do it", *options)
    assert (ran.code, ran.err.startswith(f"error: {named}: "), connected.seen) == (2, True, [])


def test_create_prints_warnings_beside_the_data(qb: Any, connected: Any, make_task: Any) -> None:
    warning = "cancel: old-1 (of generation C) cannot be told to stop"
    created = TaskCreated.model_validate({**make_task().model_dump(), "warnings": [warning]})
    connected.answers("POST", "/tasks", created, 201)
    ran = qb("task", "create", "Do it", "--strict", "-o", "id")
    assert (ran.code, ran.out, ran.err) == (0, f"{ONE}\n", f"warning: {warning}\n")
    assert connected.seen[0].json()["strict"] is True


def test_files_are_uploaded_and_named_as_the_server_named_them(
    qb: Any, connected: Any, make_task: Any, tmp_path: Path
) -> None:
    data = tmp_path / "sales.csv"
    data.write_text("a,b\n1,2\n")
    stored = Upload(filename="f1-sales.csv", original_name="sales.csv", checksum="0" * 64, size=8)
    connected.answers("POST", "/upload", stored, 201)
    connected.answers("POST", "/tasks", make_task(), 201)
    assert qb("task", "create", "Do it", "--file", str(data)).code == 0
    upload, create = connected.seen
    assert b"a,b\n1,2\n" in upload.body
    assert create.json()["files"] == ["f1-sales.csv"]


def test_a_file_that_is_missing_is_told_before_anything_is_sent(qb: Any, connected: Any) -> None:
    ran = qb("task", "create", "Do it", "--file", "/nonexistent/x.csv")
    assert ran.code == 2
    assert ran.err.startswith("error: --file: /nonexistent/x.csv does not exist\nhint: ")
    assert connected.seen == []


def test_a_dash_reads_the_prompt_from_stdin(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("POST", "/tasks", make_task(), 201)
    assert qb("task", "create", "-", stdin="Grüße\nzwei\n".encode()).code == 0
    assert connected.seen[0].json()["prompt"] == "Grüße\nzwei"


def test_a_prompt_that_is_not_utf8_is_refused(qb: Any, connected: Any) -> None:
    ran = qb("task", "create", "-", stdin=b"\xff\xfe")
    assert ran.code == 2
    assert "not UTF-8" in ran.err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["x", "--timeout", "soon"], "1h30m"),
        (["x", "--timeout", "0"], "1h30m"),
        (["x", "--tag", "nonsense"], "site=acme"),
        (["x", "--priority", "5000"], "--priority"),
        ([" "], "PROMPT"),
        (["x" * 131_072], "131071"),
        ([], "PROMPT"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(qb: Any, connected: Any, args: list[str], named: str) -> None:
    ran = qb("task", "create", *args)
    assert ran.code == 2
    assert named in ran.err
    assert ran.err.startswith("error: ")
    assert "\nhint: " in ran.err
    assert connected.seen == []


def test_node_takes_a_name_and_sends_its_id(qb: Any, connected: Any, make_task: Any, make_node: Any) -> None:
    connected.answers("GET", "/nodes", [make_node("berlin-1", TWO)])
    connected.answers("POST", "/tasks", make_task(), 201)
    assert qb("task", "create", "Do it", "--node", "berlin-1").code == 0
    assert connected.seen[-1].json()["target_node_id"] == TWO


def test_follow_shows_each_event_and_ends_with_success(
    qb: Any, connected: Any, make_task: Any, make_event: Any
) -> None:
    connected.answers("POST", "/tasks", make_task(), 201)
    told = [
        make_event(1, status=TaskStatus.ASSIGNED, kind="claimed"),
        make_event(2, progress=40, message="reading \x1b[31m[bold]the file[/bold]"),
        make_event(3, status=TaskStatus.SUCCESS, message="done"),
    ]
    connected.streams(EVENTS, told)
    connected.answers("GET", f"/tasks/{ONE}", make_task(status=TaskStatus.SUCCESS))
    ran = qb("task", "create", "Do it", "--follow")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"task {ONE}"
    assert lines[1].split() == ["12:00:01", "assigned", "claimed"]
    assert lines[2].split(maxsplit=4) == ["12:00:02", "running", "40", "%", "reading ␛[31m[bold]the file[/bold]"]
    assert "\x1b" not in ran.out


def test_follow_goes_on_after_the_last_event_when_the_stream_breaks(
    qb: Any, connected: Any, make_task: Any, make_event: Any
) -> None:
    connected.answers("POST", "/tasks", make_task(), 201)
    connected.streams(EVENTS, [make_event(7)], ends=False)
    connected.streams(EVENTS, [make_event(8, status=TaskStatus.SUCCESS, message="done")])
    connected.answers("GET", f"/tasks/{ONE}", make_task(status=TaskStatus.SUCCESS))
    ran = qb("task", "create", "Do it", "--follow")
    assert ran.code == 0
    assert "trying again" in ran.out
    assert ran.out.count("12:00:07") == 1
    resumed = [seen.headers["Last-Event-ID"] for seen in connected.seen if seen.path == EVENTS]
    assert resumed == ["0", "7"]


def test_follow_of_a_task_that_fails_exits_7_and_keeps_stdout_for_data(
    qb: Any, connected: Any, make_task: Any, make_event: Any
) -> None:
    failed = make_task(status=TaskStatus.ERROR, reason=Reason.EXIT_NONZERO, error_message="exit\n3")
    connected.answers("POST", "/tasks", make_task(), 201)
    connected.streams(EVENTS, [make_event(1, status=TaskStatus.ERROR)])
    connected.answers("GET", f"/tasks/{ONE}", failed)
    ran = qb("task", "create", "Do it", "--follow", "-o", "json")
    assert ran.code == 7
    assert json.loads(ran.out)["reason"] == "exit_nonzero"
    assert f"error: task {ONE} ended error: exit_nonzero (exit 3)\nhint: " in ran.err


def test_wait_for_a_task_that_does_not_end_exits_8(qb: Any, connected: Any, make_task: Any, make_event: Any) -> None:
    connected.answers("GET", f"/tasks/{ONE}", make_task())
    connected.streams(EVENTS, [make_event(1)], ends=False)
    ran = qb("task", "wait", ONE, "--timeout", "1s")
    assert ran.code == 8
    assert f"qb task show {ONE}" in ran.err


@pytest.mark.parametrize("command", [["wait"], ["watch"], ["logs", "-f"]])
def test_a_schedule_never_ends_and_is_not_waited_for(
    qb: Any, connected: Any, make_task: Any, command: list[str]
) -> None:
    connected.answers("GET", f"/tasks/{ONE}", make_task(recurrence="0 9 * * *", schedule_id=ONE))
    ran = qb("task", *command, ONE)
    assert ran.code == 2
    assert ran.err.startswith(f"error: task {ONE} is a schedule, which never ends\nhint: ")
    assert [seen.path for seen in connected.seen] == [f"/tasks/{ONE}"], "nothing is followed"


def test_waiting_begins_though_the_orchestrator_is_away(
    qb: Any, connected: Any, make_task: Any, make_event: Any
) -> None:
    connected.refuses("GET", f"/tasks/{ONE}", 503, ErrorCode.OVERLOADED, "later")
    connected.answers("GET", f"/tasks/{ONE}", make_task(status=TaskStatus.SUCCESS))
    connected.refuses("GET", EVENTS, 503, ErrorCode.OVERLOADED, "later")
    connected.streams(EVENTS, [make_event(1, status=TaskStatus.SUCCESS)])
    assert qb("task", "wait", ONE).code == 0


def test_a_schedule_that_was_cancelled_has_ended(qb: Any, connected: Any, make_task: Any) -> None:
    ended = make_task(recurrence="0 9 * * *", schedule_id=ONE, status=TaskStatus.CANCELLED)
    connected.answers("GET", f"/tasks/{ONE}", ended)
    connected.streams(EVENTS, [])
    assert qb("task", "wait", ONE).code == 7


def test_a_short_id_is_found_and_an_ambiguous_one_is_told(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("GET", "/tasks", [make_task(ONE), make_task(TWO)])
    connected.answers("GET", f"/tasks/{TWO}", make_task(TWO))
    assert qb("task", "show", "3f2b", "-o", "id").out == f"{TWO}\n"
    connected.replies["GET", "/tasks"].clear()
    connected.answers("GET", "/tasks", [make_task(ONE), make_task(ONE.replace("1", "2"))])
    ran = qb("task", "show", "3f2a")
    assert ran.code == 2
    assert "ambiguous: 2 tasks" in ran.err
    assert {seen.query for seen in connected.seen if seen.path == "/tasks"} == {
        "limit=100&id_prefix=3f2b",
        "limit=100&id_prefix=3f2a",
    }
    assert qb("task", "show", "eeee").code == 5
    assert qb("task", "show", "nope").code == 5
    assert qb("task", "show", "3f2").code == 2


def test_cancelling_a_task_that_has_ended_is_a_conflict(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("DELETE", f"/tasks/{ONE}", make_task(status=TaskStatus.SUCCESS))
    ran = qb("task", "cancel", ONE)
    assert ran.code == 6
    assert "ended already: success" in ran.err
    connected.replies.clear()
    connected.answers("DELETE", f"/tasks/{ONE}", make_task(status=TaskStatus.CANCELLED))
    assert qb("task", "cancel", ONE).code == 0


def test_list_passes_its_filters_on(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("GET", "/tasks", [make_task()])
    assert qb("task", "list", "--status", "running", "--limit", "3").code == 0
    assert connected.seen[0].query == "limit=3&status_filter=running"
    assert qb("task", "list", "--tag", "a=b", "--tag", "c=d", "--text", "x y", "--node", ONE, "--key", ONE).code == 0
    assert connected.seen[1].query == f"limit=20&node={ONE}&tag=a%3Db&tag=c%3Dd&key={ONE}&text=x+y"
    assert qb("task", "list", "--since", "2026-01-31T08:00:00Z").code == 0
    assert connected.seen[2].query.startswith("limit=20&since=2026-01-31T08%3A00%3A00")
    assert qb("task", "list", "--since", "soon").code == qb("task", "list", "--tag", "site").code == 2


def test_logs_keep_the_two_streams_apart_and_page_to_the_end(qb: Any, connected: Any, make_task: Any) -> None:
    def line(number: int, stream: Stream, text: str) -> OutputLine:
        return OutputLine(id=number, attempt=1, seq=number, stream=stream, at="2026-01-31T12:00:00.000Z", text=text)

    path = f"/tasks/{ONE}/output"
    connected.answers("GET", path, [line(1, Stream.STDOUT, "one\n"), line(2, Stream.STDERR, "oops\n")])
    connected.answers("GET", path, [line(3, Stream.STDOUT, "\x1b[31mtwo\n")])
    connected.answers("GET", path, [])
    ran = qb("task", "logs", ONE)
    assert (ran.out, ran.err) == ("one\n\x1b[31mtwo\n", "oops\n")
    assert [seen.query for seen in connected.seen] == [f"cursor={at}&limit=1000" for at in (0, 2, 3)]
    connected.streams(path, [line(1, Stream.STDOUT, "\x1b[31mone\n")])
    connected.replies["GET", path].pop(0)
    connected.answers("GET", f"/tasks/{ONE}", make_task())
    assert qb("task", "logs", ONE, "-f", tty=True).out == "␛[31mone\n"


def _artifact(name: str, content: bytes) -> Artifact:
    checksum = hashlib.sha256(content).hexdigest()
    return Artifact(name=name, size=len(content), checksum=checksum, created_at="2026-01-31T12:00:00.000Z", attempt=1)


def test_artifacts_are_downloaded_whole_and_never_overwrite_other_content(
    qb: Any, connected: Any, tmp_path: Path
) -> None:
    connected.answers("GET", f"/tasks/{ONE}/artifacts", [_artifact("report.md", b"# Hi")])
    connected.sends(f"/tasks/{ONE}/artifacts/report.md", b"# Hi")
    folder = tmp_path / "out"
    assert qb("task", "artifacts", ONE, "--download", str(folder)).code == 0
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("report.md", b"# Hi")]
    assert qb("task", "artifacts", ONE, "--download", str(folder)).code == 0
    (folder / "report.md").write_text("mine")
    ran = qb("task", "artifacts", ONE, "--download", str(folder))
    assert ran.code == 6
    assert (folder / "report.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "..", "a\nb"])
def test_an_artifact_cannot_name_a_place_outside_the_folder(qb: Any, connected: Any, tmp_path: Path, name: str) -> None:
    connected.answers("GET", f"/tasks/{ONE}/artifacts", [_artifact(name, b"x")])
    ran = qb("task", "artifacts", ONE, "--download", str(tmp_path / "out"))
    assert ran.code == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_artifact_is_told_and_not_kept(qb: Any, connected: Any, tmp_path: Path) -> None:
    connected.answers("GET", f"/tasks/{ONE}/artifacts", [_artifact("report.md", b"# Hi")])
    connected.sends(f"/tasks/{ONE}/artifacts/report.md", b"# Ho")
    ran = qb("task", "artifacts", ONE, "--download", str(tmp_path / "out"))
    assert ran.code == 1
    assert "damaged" in ran.err
    assert list((tmp_path / "out").iterdir()) == []


def test_what_the_server_says_goes_to_stderr_with_a_hint(qb: Any, connected: Any) -> None:
    connected.refuses("GET", f"/tasks/{ONE}", 404, ErrorCode.NOT_FOUND, f"no task \x1b[2J{ONE}")
    ran = qb("task", "show", ONE)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith(f"error: no task ␛[2J{ONE}\nhint: ")
