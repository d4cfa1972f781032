"""One suite over every way that a task comes to a node: each case must end alike, whichever transport brought it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from json import dumps
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qb.client import QbClient
from qb.contract.push import SIGNATURE, signature
from qb.contract.states import Reason, TaskStatus
from qb.contract.tasks import Task
from tests.e2e.agent import Node, wait_until
from tests.e2e.ansible_node import AnsibleNode, render_launcher
from tests.e2e.conftest import running_server

pytestmark = pytest.mark.podman
TRANSPORTS = ("pull", "push", "ansible")
BY_ANSIBLE = pytest.mark.parametrize("transport", ["ansible"], indirect=True)
BY_POLL = pytest.mark.parametrize("transport", ["pull"], indirect=True)
BY_HTTP = pytest.mark.parametrize("transport", ["push"], indirect=True)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """The transport under test."""
    return str(request.param)


@pytest.fixture
def server(transport: str, tmp_path: Path, bridge: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A control plane; with Ansible it finds on this machine what the role `runner` sets up on a node."""
    options = []
    if transport == "ansible":
        folder = tmp_path / "node-ansible"
        folder.mkdir()
        options = ["--dispatch-launcher", str(render_launcher(folder))]
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with running_server(tmp_path, bridge, *options) as own:
        yield own


@pytest.fixture
def node(transport: str, nodes: Callable[..., Node]) -> Node:
    """A runner that is brought its tasks by the transport under test."""
    node = nodes(transport, AnsibleNode if transport == "ansible" else Node, mode=transport)
    node.start()
    return node


def running(client: QbClient, task: Task) -> None:
    """Wait until its container has begun to speak."""
    wait_until(lambda: client.task_output(task.id), f"output of task {task.id}")


def text(client: QbClient, task: Task) -> str:
    """All its output."""
    return "".join(line.text for line in client.task_output(task.id))


def test_accept(client: QbClient, node: Node, run: Callable[..., Task], ended: Callable[[Task], Task]) -> None:
    task = run("echo hello; echo kept > $TASK_OUTPUT_DIR/left.txt")
    done = ended(task)
    assert (done.status, done.exit_code, done.attempt) == (TaskStatus.SUCCESS, 0, 1)
    assert text(client, task) == "hello\n"
    assert [artifact.name for artifact in client.artifacts(task.id)] == ["left.txt"]


def test_busy(client: QbClient, node: Node, run: Callable[..., Task], ended: Callable[[Task], Task]) -> None:
    first = run("echo on; until [ -e $TASK_OUTPUT_DIR/go ]; do sleep 0.1; done")
    running(client, first)
    second = run("echo second")
    wait_until(lambda: client.node(node.name).status == "busy", "the node is busy")
    assert client.task(second.id).status is TaskStatus.PENDING
    (node.folder / "home/tasks" / first.id[:8] / "out/go").touch()
    assert ended(first).status is TaskStatus.SUCCESS
    assert ended(second).status is TaskStatus.SUCCESS
    assert client.task(second.id).attempt == 1


def test_cancel(client: QbClient, node: Node, run: Callable[..., Task], ended: Callable[[Task], Task]) -> None:
    task = run("echo on; sleep 600")
    running(client, task)
    client.cancel_task(task.id)
    done = ended(task)
    assert (done.status, done.reason) == (TaskStatus.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
    assert node.containers(task.id) == []


def test_timeout(node: Node, run: Callable[..., Task], ended: Callable[[Task], Task]) -> None:
    done = ended(run("sleep 600", timeout_seconds=2))
    assert (done.status, done.reason) == (TaskStatus.ERROR, Reason.TIMEOUT)


def test_files(
    client: QbClient, node: Node, run: Callable[..., Task], ended: Callable[[Task], Task], tmp_path: Path
) -> None:
    (tmp_path / "données.csv").write_text("a,b\n")
    upload = client.upload(tmp_path / "données.csv")
    task = run('cat "$TASK_FILES_DIR/données.csv"', files=[upload.filename])
    assert ended(task).status is TaskStatus.SUCCESS
    assert text(client, task) == "a,b\n"


def test_crash(client: QbClient, node: Node, run: Callable[..., Task], ended: Callable[[Task], Task]) -> None:
    task = run("for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done")
    running(client, task)
    node.end(signal.SIGKILL)
    node.start()
    done = ended(task)
    assert (done.status, done.attempt) == (TaskStatus.SUCCESS, 1)
    assert text(client, task) == "1\n2\n3\n4\n5\n6\n"


def test_outage(
    server: Any, client: QbClient, node: Node, run: Callable[..., Task], ended: Callable[[Task], Task]
) -> None:
    task = run("for i in 1 2 3 4; do echo $i; sleep 0.5; done; touch $TASK_OUTPUT_DIR/over")
    running(client, task)
    server.kill()
    wait_until((node.folder / "home/tasks" / task.id[:8] / "out/over").exists, "the container's end")
    server.start()
    assert ended(task).status is TaskStatus.SUCCESS
    assert text(client, task) == "1\n2\n3\n4\n"
    assert ended(run("echo and the next one")).status is TaskStatus.SUCCESS


@BY_POLL
@pytest.mark.parametrize("failpoint", ["http.poll.after", "journal.intend.after"])
def test_duplicate_of_a_poll(
    node: Node, run: Callable[..., Task], ended: Callable[[Task], Task], failpoint: str
) -> None:
    """An assignment that the runner did not live to write down comes again, one that it did does not: once it runs."""
    node.end()
    task = run("echo $TASK_ID >> /workspace/Victoria/starts")
    node.start(env={"QB_FAILPOINT": failpoint})
    assert node.process.wait(60) == -signal.SIGKILL
    node.start()
    done = ended(task)
    assert (done.status, done.attempt) == (TaskStatus.SUCCESS, 1)
    assert (node.folder / "home" / "starts").read_text().split() == [task.id]


@BY_HTTP
def test_duplicate(client: QbClient, node: Node, run: Callable[..., Task], ended: Callable[[Task], Task]) -> None:
    """1,000 replays of one request, while it runs and after, start nothing; unsigned or altered ones neither."""
    task = run("echo on; until [ -e $TASK_OUTPUT_DIR/go ]; do sleep 0.1; done")
    running(client, task)
    body = dumps(
        {"task_id": task.id, "attempt": 1, "prompt": "echo again", "orchestrator_url": node.server.url}
    ).encode()
    good = {"X-API-Key": node.key, SIGNATURE: signature(node.key, body)}
    with httpx2.Client(base_url=node.endpoint, timeout=30) as http, ThreadPoolExecutor(4) as pool:
        during = list(pool.map(lambda _: http.post("/run", content=body, headers=good).status_code, range(500)))
        (node.folder / "home/tasks" / task.id[:8] / "out/go").touch()
        assert ended(task).status is TaskStatus.SUCCESS
        after = list(pool.map(lambda _: http.post("/run", content=body, headers=good).status_code, range(500)))
        assert set(during + after) == {200}
        other = body.replace(b'attempt": 1', b'attempt": 2')
        assert http.post("/run", content=other, headers=good).status_code == 401
        assert http.post("/run", content=other, headers={"X-API-Key": node.key}).status_code == 401
        assert http.get("/status", headers={"X-API-Key": node.key}).json()["status"] == "idle"
    assert text(client, task) == "on\n"


@BY_ANSIBLE
def test_brought_again(
    client: QbClient, node: AnsibleNode, run: Callable[..., Task], ended: Callable[[Task], Task]
) -> None:
    """The same attempt handed over once more, when it is over, starts nothing, and its file does not stay."""
    task = run("echo on")
    assert ended(task).status is TaskStatus.SUCCESS
    again = {"task_id": task.id, "attempt": 1, "prompt": "echo again", "orchestrator_url": node.server.url}
    handed = dumps({"api_key": node.key, "assignment": again})
    subprocess.run([node.folder / "dispatch", "run", f"{task.id}-1"], input=handed, text=True, check=True, timeout=30)
    wait_until(lambda: "offer=duplicate" in (node.folder / "runner.log").read_text(), "the second runner's word")
    wait_until(lambda: not list((node.folder / "qb-handed").iterdir()), "the file's end")
    assert text(client, task) == "on\n"
    assert node.containers(task.id) == []
