"""The real agent and its people: it asks and is answered, its log comes back, and a lost network is outlived."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcp_status.settings import VICTORIA_HOME
from qb.client import QbClient
from qb.contract.states import TaskStatus
from qb.contract.tasks import Task
from tests.agent.model import Call, Model, calls, says
from tests.agent.words import COMPLETE, STARTED, agent_messages, shell, verdicts
from tests.e2e.agent import Node, wait_until
from tests.fixtures_server import Server
from tests.mcp_status.crush_files import EVERY_PART, session, write

pytestmark = pytest.mark.podman

Create = Callable[..., str]
Ended = Callable[[str], Task]
Qb = Callable[..., str]
QUESTION = "Shall I delete the old report?"
OUTAGE = 60.0
"""Seconds."""


def test_it_asks_its_operator_and_acts_on_the_answer(
    client: QbClient, model: Model, create: Create, ended: Ended, qb: Qb
) -> None:
    prompt = model.play(
        "asks",
        STARTED,
        calls(Call("status_ask_operator", {"question": QUESTION, "options": ["yes", "no"], "timeout": 300})),
        COMPLETE,
        says("Done."),
    )
    task_id = create(prompt)
    wait_until(lambda: client.dialogue.questions(task_id), "its question")
    assert "running, asks" in qb("task", "list")
    shown = qb("task", "show", task_id)
    assert QUESTION in shown and "waits for an answer" in shown
    qb("task", "answer", task_id, "no, and keep a copy")
    task = ended(task_id)
    assert verdicts(task) == (TaskStatus.SUCCESS, None, "success", 0)
    heard = model.results("asks")[1]
    assert '"answered": true' in heard and "no, and keep a copy" in heard
    [asked] = client.dialogue.questions(task_id)
    assert (asked.question, asked.answer, asked.open) == (QUESTION, "no, and keep a copy", False)


def test_crushs_log_comes_back_from_agent_and_runner_and_counts_once(
    client: QbClient, model: Model, create: Create, ended: Ended, qb: Qb, tmp_path: Path
) -> None:
    began = int(time.time()) + 60  # after the container has started, however slowly
    sessions = [
        session("main", began, tokens=1000, cost=2.0),
        session("child", began + 1, parent="main", tokens=200, cost=0.5),
    ]
    home = VICTORIA_HOME
    log = write(tmp_path / "crush.db", sessions, [("m1", "user", "count"), ("m2", "assistant", EVERY_PART)])
    prompt = model.play(
        "keeps a log",
        STARTED,
        calls(shell(f"mkdir -p {home}/.crush && cp $TASK_FILES_DIR/crush.db {home}/.crush/")),
        calls(Call("status_submit_crush_logs")),
        COMPLETE,
        says("Done."),
    )
    task_id = create(prompt, "--file", str(log))
    task = ended(task_id)
    assert verdicts(task) == (TaskStatus.SUCCESS, None, "success", 0)
    assert '"delivered": true' in model.results("keeps a log")[2], model.results("keeps a log")
    assert (task.cost, task.tokens) == (2.0, 1320)
    senders = {event.source for event in client.task_events(task_id) if event.kind == "session"}
    assert senders == {"agent", "runner"} and len(client.logs(task_id)) == 2
    shown = qb("task", "transcript", task_id)
    assert "title of main" in shown and "title of child" in shown and "Reading sales.csv." in shown
    sheet = qb("task", "show", task_id)
    assert re.search(r"Cost +\$2\.00", sheet) and re.search(r"Tokens +1,320", sheet)


@pytest.mark.parametrize("outage", ["the orchestrator stops", "packets are lost for a minute"])
def test_an_outage_is_outlived(
    server: Server, client: QbClient, node: Node, model: Model, create: Create, ended: Ended, outage: str
) -> None:
    back, gone = threading.Event(), threading.Event()
    prompt = model.play(
        "is cut off",
        STARTED,
        calls(Call("status_report_status", {"status": "running", "message": "unheard", "progress": 40}), after=gone),
        calls(Call("status_report_status", {"status": "analyzing", "message": "unheard, too", "progress": 60})),
        calls(shell("echo kept > $TASK_OUTPUT_DIR/kept.txt"), after=back),
        COMPLETE,
        says("Done."),
    )
    task_id = create(prompt)
    wait_until(lambda: agent_messages(client, task_id) == ["reading"], "its first report")
    [container] = node.containers(task_id)
    lasts = stopped(server) if outage == "the orchestrator stops" else cut_off(container, server.port)
    with lasts:
        gone.set()
        wait_until(lambda: len(model.results("is cut off")) == 3, "two reports into the void")
        assert all('"queued": true' in answer for answer in model.results("is cut off")[1:])
    back.set()
    task = ended(task_id)
    assert verdicts(task) == (TaskStatus.SUCCESS, None, "success", 0)
    assert agent_messages(client, task_id) == ["reading", "unheard", "unheard, too", "the outcome"]
    assert [artifact.name for artifact in client.artifacts(task_id)] == ["kept.txt"]


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Without an orchestrator: what is sent to it is refused."""
    server.kill()
    yield
    server.start()


@contextmanager
def cut_off(container: str, port: int) -> Iterator[None]:
    """For a minute, what the container sends to the orchestrator is lost without a word."""
    _packets(container, port, lost=True)
    over = time.monotonic() + OUTAGE
    yield
    wait_until(lambda: time.monotonic() > over, "the end of the outage", seconds=OUTAGE + 10)
    _packets(container, port, lost=False)


def _packets(container: str, port: int, *, lost: bool) -> None:
    inspect = ["podman", "inspect", "--format", "{{.State.Pid}}", container]
    pid = subprocess.run(inspect, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    rule = ["OUTPUT", "-p", "tcp", "--dport", str(port), "-j", "DROP"]
    command = ["nsenter", "-t", pid, "-n", "iptables", "-w", "-A" if lost else "-D", *rule]
    subprocess.run(command, timeout=60, check=True, capture_output=True)
