"""`qb task answer` and what `qb task show` says of a task that asks, against a real control plane."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from qb.client import QbClient
from qb.contract.nodes import Register
from qb.contract.questions import Question, QuestionAsk
from qb.contract.task_metrics import MetricLog
from qb.contract.tasks import TaskCreate
from tests.fixtures_server import QB, Server


class Asking:
    """A task in the hands of an agent that asks, and its operator's command line."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        with server.joining() as joining, server.client() as admin:
            key = joining.register(Register(hostname=name, wire=2)).api_key
            self.task = admin.create_task(TaskCreate(prompt="tidy up", target_node_name=name)).id
        with server.client(key) as node:
            assignment = node.poll()
        assert assignment is not None and assignment.task_token is not None
        self.agent: QbClient = server.client(assignment.task_token)

    def ask(self, text: str, *options: str) -> Question:
        return self.agent.dialogue.ask(self.task, QuestionAsk(question=text, options=list(options), key=text))

    def qb(self, *args: str) -> tuple[int, str]:
        env = {**os.environ, "QB_URL": self.server.url, "QB_API_KEY": self.server.admin_key, "COLUMNS": "100"}
        done = subprocess.run([str(QB), *args], env=env, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def asking(shared_server: Server, request: pytest.FixtureRequest) -> Iterator[Asking]:
    found = Asking(shared_server, f"asks-{os.getpid()}-{request.node.name}")
    yield found
    found.agent.close()


def test_a_task_that_asks_shows_so_and_the_agent_gets_the_answer(asking: Asking) -> None:
    question = asking.ask("Delete them?", "yes", "no")
    code, sheet = asking.qb("task", "show", asking.task)
    assert code == 0 and "waits for an answer" in sheet and "Delete them? (yes / no)" in sheet
    assert f"qb task answer {asking.task[:8]} TEXT" in sheet
    code, listed = asking.qb("task", "answer", asking.task)
    assert code == 0 and "waits" in listed and "yes / no" in listed
    code, answered = asking.qb("task", "answer", asking.task, "yes")
    assert code == 0 and "answered" in answered
    read = asking.agent.dialogue.question(asking.task, question.id)
    assert (read.answer, read.answered_by, read.open) == ("yes", "admin", False)
    assert "waits for" not in asking.qb("task", "show", asking.task)[1]


def test_several_questions_are_told_apart_and_none_is_said_plainly(asking: Asking) -> None:
    code, said = asking.qb("task", "answer", asking.task, "yes")
    assert code == 5 and "waits for an answer" in said and "Traceback" not in said
    asking.ask("First?")
    second = asking.ask("Second?")
    code, said = asking.qb("task", "answer", asking.task, "yes")
    assert code == 2 and "2 questions wait" in said and "--question" in said
    assert asking.qb("task", "answer", asking.task, "yes", "--question", second.id[:13])[0] == 0
    assert asking.agent.dialogue.question(asking.task, second.id).answer == "yes"


def test_metrics_stand_on_the_tasks_sheet(asking: Asking) -> None:
    for seq, value in enumerate((10, 30.5, 20)):
        asking.agent.dialogue.log_metric(asking.task, MetricLog(name="rows", value=value, seq=seq))
    assert "20 (3 points, 10 to 30.5)" in asking.qb("task", "show", asking.task)[1]
