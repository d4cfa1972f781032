"""A real agent at work: opencode in podman, told by a scripted model, reports through our MCP server.

Each script ends in the right state, for the right reason, and with both verdicts to be seen: what the agent said
(`agent_status`) and what the runner saw (`exit_code`).
"""

import threading
from collections.abc import Callable

import pytest

from qb.client import QbClient
from qb.contract.states import Reason, TaskStatus
from qb.contract.tasks import Task
from tests.agent.model import Call, Model, calls, refuses, says
from tests.agent.words import COMPLETE, STARTED, agent_messages, shell, verdicts

pytestmark = pytest.mark.podman

Create = Callable[..., str]
Ended = Callable[[str], Task]


def test_it_reports_progress_leaves_a_result_and_completes(
    client: QbClient, model: Model, create: Create, ended: Ended, qb: Callable[..., str]
) -> None:
    prompt = model.play(
        "works",
        STARTED,
        calls(Call("status_get_job_info")),
        calls(shell("echo 'forty-two' > $TASK_OUTPUT_DIR/answer.md; echo 'six by nine' > /root/question.md")),
        calls(Call("status_attach_artifact", {"path": "/root/question.md"})),
        calls(Call("status_report_status", {"status": "analyzing", "message": "halfway", "progress": 50})),
        calls(Call("status_log_metric", {"name": "answers found", "value": 42})),
        COMPLETE,
        says("Everything is done."),
    )
    task_id = create(prompt)
    task = ended(task_id)
    assert verdicts(task) == (TaskStatus.SUCCESS, None, "success", 0), model.results("works")
    assert (task.result, task.progress) == ("the outcome", 100)
    assert agent_messages(client, task_id) == ["reading", "question.md", "halfway", "the outcome"]
    for name, content in (("answer.md", b"forty-two\n"), ("question.md", b"six by nine\n")):
        with client.get_artifact(task_id, name) as chunks:
            assert b"".join(chunks) == content
    assert task_id in model.results("works")[1], "get_job_info names the task"
    assert [(metric.name, metric.value) for metric in client.dialogue.metrics(task_id)] == [("answers found", 42.0)]
    assert "Everything is done." in qb("task", "logs", task_id)


def test_its_own_error_is_the_reason_though_it_exits_well(
    client: QbClient, model: Model, create: Create, ended: Ended
) -> None:
    prompt = model.play(
        "fails", STARTED, calls(Call("status_report_error", {"error_message": "no data"})), says("I gave up.")
    )
    task = ended(create(prompt))
    assert verdicts(task) == (TaskStatus.ERROR, Reason.AGENT_ERROR, "error", 0)
    assert "no data" in (task.error_message or "")


def test_a_crash_midway_is_what_the_runner_saw(client: QbClient, model: Model, create: Create, ended: Ended) -> None:
    prompt = model.play("crashes", STARTED, calls(shell("kill -9 $PPID")), COMPLETE)
    task = ended(create(prompt))
    assert verdicts(task) == (TaskStatus.ERROR, Reason.EXIT_NONZERO, None, 137), "the agent said nothing of its end"
    assert agent_messages(client, task.id) == ["reading"]


def test_one_that_hangs_ends_at_its_timeout(client: QbClient, model: Model, create: Create, ended: Ended) -> None:
    prompt = model.play("hangs", calls(Call("status_report_complete"), after=threading.Event()))
    task = ended(create(prompt, "--timeout", "20s"))
    assert (task.status, task.reason, task.agent_status) == (TaskStatus.ERROR, Reason.TIMEOUT, None)
    assert agent_messages(client, task.id) == []


def test_a_lie_does_not_count(
    client: QbClient, model: Model, create: Create, ended: Ended, qb: Callable[..., str]
) -> None:
    prompt = model.play("lies", STARTED, COMPLETE, refuses())
    task = ended(create(prompt))
    assert verdicts(task) == (TaskStatus.ERROR, Reason.EXIT_NONZERO, "success", 1)
    assert agent_messages(client, task.id)[-1] == "the outcome", "what it claimed is kept"
    shown = [line.split() for line in qb("task", "show", task.id).splitlines()]
    assert ["Agent", "said", "success"] in shown and ["Exit", "code", "1"] in shown, "both verdicts are to be seen"


def test_a_flood_of_messages_arrives_in_order_and_hurts_nobody(
    client: QbClient, model: Model, create: Create, ended: Ended
) -> None:
    flood = [
        Call("status_report_status", {"status": "running", "message": f"{number} {'x' * 2000}"})
        for number in range(150)
    ]
    prompt = model.play("floods", calls(*flood), COMPLETE, says("Done."))
    task = ended(create(prompt))
    assert verdicts(task) == (TaskStatus.SUCCESS, None, "success", 0)
    said = [int(message.split()[0]) for message in agent_messages(client, task.id)[:-1]]
    assert sorted(said) == list(range(150)), "every message is there, once"


HOSTILE = (
    Call("status_report_status", {"status": "root", "message": "x"}),
    Call("status_report_status", {"status": "running", "progress": 1e308}),
    Call("status_report_status", {"status": "running", "progress": -1}),
    Call("status_report_status", {"status": "running", "progress": "'; DROP TABLE tasks; --"}),
    Call("status_report_status", {"status": ["running"], "message": {"a": 1}}),
    Call("status_report_status", {}),
    Call("status_report_error", {"error_message": ""}),
    Call("status_no_such_tool", {"x": 1}),
)
ODD = "\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>\u202e'; DROP TABLE tasks; -- " + "\N{PILE OF POO}" * 3


def test_hostile_arguments_are_refused_or_kept_as_text(
    client: QbClient, model: Model, create: Create, ended: Ended, qb: Callable[..., str]
) -> None:
    prompt = model.play(
        "attacks",
        *(calls(each) for each in HOSTILE),
        calls(Call("status_report_status", {"status": "running", "message": ODD})),
        calls(Call("status_report_status", {"status": "running", "message": "y" * 200_000})),
        COMPLETE,
        says("Done."),
    )
    task = ended(create(prompt))
    assert verdicts(task) == (TaskStatus.SUCCESS, None, "success", 0), model.results("attacks")
    said = agent_messages(client, task.id)
    assert len(said) == 3, "nothing that was refused became a report"
    assert ODD in said
    assert max(map(len, said)) <= 10_000
    for shown in (qb("task", "show", task.id), qb("task", "events", task.id)):
        assert "\x1b" not in shown and "\x07" not in shown
