"""`qb task why|retry`, `qb group`, `qb schedule` and how `qb task create` says when: the API is played on loopback."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qb.contract.scheduling import Cause, Group, GroupTask, MissedRuns, Schedule, Why, WhyCode
from qb.contract.states import Reason, TaskStatus

ONE = "3f2a0000-0000-4000-8000-000000000001"
TWO = "3f2b0000-0000-4000-8000-000000000002"
GROUP = "5b1c0000-0000-4000-8000-000000000003"


def group(**tasks: TaskStatus) -> Group:
    members = [GroupTask(id=task, status=status, target_node_name="client-1") for task, status in tasks.items()]
    counts = {status: list(tasks.values()).count(status) for status in tasks.values()}
    ended = all(status.terminal for status in tasks.values())
    made = "2026-01-31T12:00:00.000Z"
    return Group(
        id=GROUP, each="client-*", created_at=made, total=len(tasks), ended=ended, counts=counts, tasks=members
    )


def schedule() -> Schedule:
    return Schedule(
        id=ONE,
        prompt="Report",
        recurrence="0 9 * * 1-5",
        time_zone="Europe/Berlin",
        missed_runs=MissedRuns.ONCE,
        next_run_at="2026-02-02T08:00:00.000Z",
        created_at="2026-01-31T12:00:00.000Z",
    )


def test_create_sends_order_time_and_policy(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("POST", "/tasks", make_task(), 201)
    options = ["--after", TWO, "--on-failure", "run", "--expires-in", "2h", "--max-attempts", "3", "--backoff", "1m"]
    options += ["--retry-on", "exit_nonzero", "--retry-on", "lease_expired", "--capability", "gpu", "--at", "1h"]
    assert qb("task", "create", "Do it", *options).code == 0
    sent = connected.seen[-1].json()
    at = datetime.fromisoformat(sent.pop("scheduled_for"))
    assert abs(at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=5)
    wanted = {
        "depends_on": [TWO],
        "on_failure": "run",
        "queue_timeout_seconds": 7200,
        "max_attempts": 3,
        "backoff_seconds": 60,
        "retry_on": ["exit_nonzero", "lease_expired"],
        "capabilities": ["gpu"],
    }
    assert wanted.items() <= sent.items()


def test_create_sends_a_schedule(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("POST", "/tasks", make_task(), 201)
    options = ["--cron", "0 9 * * 1-5", "--time-zone", "Europe/Berlin", "--missed-runs", "once"]
    assert qb("task", "create", "Report", *options).code == 0
    wanted = {"recurrence": "0 9 * * 1-5", "time_zone": "Europe/Berlin", "missed_runs": "once"}
    assert wanted.items() <= connected.seen[-1].json().items()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--retry-on", "expired"], "--retry-on"),
        (["--on-failure", "explode"], "--on-failure"),
        (["--missed-runs", "twice"], "--missed-runs"),
        (["--at", "someday"], "2026-01-31T09:00"),
        (["--cron", "* * * * *", "--follow"], "never ends"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(qb: Any, connected: Any, options: list[str], named: str) -> None:
    ran = qb("task", "create", "x", *options)
    assert ran.code == 2
    assert named in ran.err
    assert connected.seen == []


def test_each_makes_a_group_and_follow_waits_for_all_of_it(
    qb: Any, connected: Any, make_event: Any, make_task: Any
) -> None:
    connected.answers("POST", "/groups", group(**{ONE: TaskStatus.PENDING, TWO: TaskStatus.PENDING}), 201)
    connected.answers("GET", f"/groups/{GROUP}", group(**{ONE: TaskStatus.RUNNING, TWO: TaskStatus.SUCCESS}))
    connected.answers("GET", f"/groups/{GROUP}", group(**{ONE: TaskStatus.ERROR, TWO: TaskStatus.SUCCESS}))
    connected.streams(f"/tasks/{ONE}/events", [make_event(1, status=TaskStatus.ERROR)])
    connected.answers("GET", f"/tasks/{ONE}", make_task(status=TaskStatus.ERROR))
    ran = qb("task", "create", "x", "--each", "client-*", "--follow")
    assert connected.seen[0].json()["each"] == "client-*"
    assert ran.code == 7
    assert "1 success, 1 error" in ran.out
    assert f"group {GROUP} ended: 1 success, 1 error" in ran.err


def test_a_group_is_waited_for_shown_listed_and_cancelled(qb: Any, connected: Any) -> None:
    done = group(**{ONE: TaskStatus.SUCCESS})
    connected.answers("GET", f"/groups/{GROUP}", done)
    connected.answers("GET", "/groups", [done])
    connected.answers("DELETE", f"/groups/{GROUP}", done)
    assert qb("group", "wait", GROUP).code == 0
    ran = qb("group", "show", "5b1c")
    assert (ran.code, "client-1" in ran.out) == (0, True)
    assert "1 success" in qb("group", "list").out
    assert json.loads(qb("group", "cancel", GROUP, "-o", "json").out)["id"] == GROUP
    assert connected.seen[-1].method == "DELETE"
    ran = qb("group", "show", "ffff")
    assert (ran.code, "no group 'ffff'" in ran.err) == (5, True)


def test_why_prints_each_cause_on_a_line(qb: Any, connected: Any) -> None:
    causes = [
        Cause(code=WhyCode.DRAINING, text="2 nodes match, both draining"),
        Cause(code=WhyCode.SCHEDULED, text="it is scheduled for \x1b[31mlater"),
    ]
    connected.answers("GET", f"/tasks/{ONE}/why", Why(task_id=ONE, status=TaskStatus.PENDING, causes=causes))
    ran = qb("task", "why", ONE)
    assert ran.out == "2 nodes match, both draining\nit is scheduled for ␛[31mlater\n"
    assert json.loads(qb("task", "why", ONE, "-o", "json").out)["causes"][0]["code"] == "draining"


def test_retry_prints_the_new_task(qb: Any, connected: Any, make_task: Any) -> None:
    connected.answers("POST", f"/tasks/{ONE}/retry", make_task(TWO, retry_of=ONE), 201)
    ran = qb("task", "retry", ONE, "-o", "id")
    assert (ran.code, ran.out) == (0, f"{TWO}\n")


def test_schedules_are_listed_shown_and_removed(qb: Any, connected: Any) -> None:
    connected.answers("GET", "/schedules", [schedule()])
    connected.answers("GET", f"/schedules/{ONE}", schedule())
    connected.answers("DELETE", f"/schedules/{ONE}", schedule().model_copy(update={"next_run_at": None}))
    assert "0 9 * * 1-5" in qb("schedule", "list").out
    ran = qb("schedule", "show", "3f2a")
    assert "are made up for once" in ran.out
    assert "0 9 * * 1-5 (Europe/Berlin)" in ran.out
    assert "never" in qb("schedule", "remove", "3f2a").out


def test_show_says_why_a_task_ended_and_what_it_belongs_to(qb: Any, connected: Any, make_task: Any) -> None:
    task = make_task(status=TaskStatus.CANCELLED, reason=Reason.DEPENDENCY_FAILED, depends_on=[TWO], group_id=GROUP)
    connected.answers("GET", f"/tasks/{ONE}", task)
    out = qb("task", "show", ONE).out
    assert TWO in out
    assert GROUP in out
