"""A real control plane, and nodes that die where a test wants them to."""

import fcntl
import json
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qb.client import QbClient
from qb.contract.tasks import Task, TaskCreate
from tests.crash.nursery import Nursery
from tests.e2e.agent import Node, wait_until

IMAGE = "localhost/qb-crash-agent:1"
CODE = 7
SCRIPT = (
    "echo $TASK_ID >> /workspace/Victoria/starts; echo begun; cat $TASK_FILES_DIR/*; "
    f"echo made > $TASK_OUTPUT_DIR/made; exit {CODE}"
)
SLEEPER = "echo $TASK_ID >> /workspace/Victoria/starts; echo begun; trap 'exit 143' TERM; sleep 600 & wait"
ENDED = 143
"""The exit code of the sleeper that is told to end."""

FILE = "a file\n"
LIMIT = 600
PACE = 0.2
"""Seconds between looks at a task: many tests look at once, and the control plane has better to do."""

DEATH_SECONDS, PATIENCE = 180, 240
"""Long enough for a machine with much else to do; nothing waits so long that goes well."""


@pytest.fixture(scope="session")
def crash_image(podman_env: dict[str, str], busybox_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image whose agent runs the prompt as a shell script, and heeds TERM."""
    with (tmp_path_factory.getbasetemp().parent / "crash-image.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        context = tmp_path_factory.mktemp("agent")
        (context / "Containerfile").write_text(
            f'FROM {busybox_image}\nENTRYPOINT ["sh", "-c", "exec sh -c \\"$3\\"", "agent"]\n'
        )
        command = ["podman", "build", "-q", "-t", IMAGE, str(context)]
        subprocess.run(command, env=podman_env, check=True, capture_output=True, timeout=120)
    return IMAGE


def crush_database(home: Path, session: str) -> None:
    """The log of an agent that began a session; its time is ahead, so that it belongs to every task."""
    (home / ".crush").mkdir()
    with closing(sqlite3.connect(home / ".crush" / "crush.db")) as db, db:
        db.execute("CREATE TABLE sessions(id TEXT, parent_session_id TEXT, title TEXT, cost REAL, created_at INT)")
        db.execute("CREATE TABLE messages(id TEXT, session_id TEXT, role TEXT, parts TEXT, created_at INT)")
        db.execute("INSERT INTO sessions VALUES (?, NULL, 'told', 0.5, ?)", (session, int(time.time()) + 7200))
        db.execute("INSERT INTO messages VALUES ('m', ?, 'user', '[]', 1)", (session,))


@dataclass
class Mortal:
    """A node whose runner is killed and started again, and what it owes the control plane."""

    client: QbClient
    node: Node
    upload: str

    @property
    def home(self) -> Path:
        return self.node.folder / "home"

    def task(self, script: str = SCRIPT, **more: Any) -> Task:
        """A task for this node alone."""
        body = TaskCreate(
            prompt=script, target_node_name=self.node.name, files=[self.upload], timeout_seconds=LIMIT, **more
        )
        return self.client.create_task(body)

    def unfit_task(self) -> Task:
        """One that the node refuses: an older release took any text for an image, and tasks of it may wait still."""
        task = self.task(image="localhost/fit")
        with closing(sqlite3.connect(self.node.server.data_dir / "qb.db", timeout=PATIENCE)) as db, db:
            db.execute("UPDATE task_specs SET image = 'not an image' WHERE task_id = ?", (task.id,))
        return task

    def cancel(self, task: Task) -> None:
        self.client.cancel_task(task.id)

    def start(self, failpoint: str = "", *options: str, **env: str) -> None:
        """Start the runner, armed or not."""
        armed = {"QB_FAILPOINT": failpoint} if failpoint else {}
        self.node.start("--drain-seconds", "0", "--stop-grace", "1", *options, env={**armed, **env})

    def await_death(self) -> None:
        """Wait for the failpoint."""
        process = self.node.process
        assert process is not None
        assert process.wait(DEATH_SECONDS) == -signal.SIGKILL, f"the failpoint was not reached:\n{self.logged()}"
        self.node.process = None

    def kill(self) -> None:
        """kill -9, unless it is dead already."""
        if self.node.process is not None:
            self.node.process.send_signal(signal.SIGKILL)
            self.node.process.wait(DEATH_SECONDS)
            self.node.process = None

    def seen(self, task: Task) -> Task:
        return self.client.task(task.id)

    def started(self, task: Task) -> bool:
        """Whether the container has begun."""
        return task.id in self.starts()

    def starts(self) -> list[str]:
        path = self.home / "starts"
        return path.read_text().split() if path.exists() else []

    def ended(self, task: Task) -> Task:
        """The task as it ended."""
        what = f"the end of {task.id}; {self.node.name}"
        wait_until(lambda: self.seen(task).status.terminal, what, seconds=PATIENCE, every=PACE)
        return self.seen(task)

    def logged(self) -> str:
        return (self.node.folder / "runner.log").read_text()

    def whole(self, task: Task) -> None:
        """Nothing of an ended task was lost, and nothing came twice."""
        found = self.ended(task)
        assert (found.status, found.reason, found.exit_code) == ("error", "exit_nonzero", CODE)
        assert self.starts().count(task.id) == 1, "no second container, whichever attempt it was"
        text = "".join(line.text for line in self.client.task_output(task.id))
        assert text == f"begun\n{FILE}"
        assert [each.name for each in self.client.artifacts(task.id)] == ["made"]
        (session,) = self.client.logs(task.id)
        assert (session.id, session.message_count) == (self.node.name, 1)
        self.one_verdict(task)

    def one_verdict(self, task: Task) -> None:
        ends = [
            each
            for each in self.client.task_events(task.id)
            if each.source == "runner" and each.status and each.status.terminal
        ]
        assert len(ends) == 1, ends

    def clean(self) -> None:
        """Nothing is left on the node: no container, no letter, no log."""
        logs = self.node.folder / "state" / "logs"
        wait_until(lambda: not list(logs.iterdir()), f"the removal of logs; {self.node.name}", seconds=PATIENCE)
        # a container goes before its log: asking podman, which is dear, is needed once
        wait_until(lambda: not self.containers(), f"the removal of containers; {self.node.name}", seconds=PATIENCE)
        with closing(sqlite3.connect(self.node.folder / "state" / "journal.db")) as db:
            assert db.execute("SELECT count(*) FROM attempts WHERE phase != 'reported'").fetchone() == (0,)
            assert db.execute("SELECT count(*) FROM outbox").fetchone() == (0,)

    def containers(self) -> list[str]:
        """The containers of this runner, in whatever state."""
        runner_id = (self.node.folder / "state" / "runner_id").read_text().strip()
        command = ["podman", "ps", "-a", "--filter", f"label=qb.runner={runner_id}", "--format", "{{.ID}}"]
        done = subprocess.run(command, env=self.node.env, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()

    def end(self) -> None:
        self.kill()
        if (self.node.folder / "state" / "runner_id").exists() and (left := self.containers()):
            command = ["podman", "rm", "-f", "-t", "0", *left]
            subprocess.run(command, env=self.node.env, check=False, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """One for each of pytest's processes."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def mortals(
    shared_server: Any, crash_image: str, podman_env: dict[str, str], tmp_path: Path, nursery: Nursery
) -> Iterator[Callable[[], Mortal]]:
    """Makes nodes of the shared control plane."""
    (tmp_path / "note.txt").write_text(FILE)
    made: list[Mortal] = []
    with shared_server.client() as client:
        upload = client.upload(tmp_path / "note.txt").filename

        def make() -> Mortal:
            folder = tmp_path / f"node{len(made)}"
            (folder / "home").mkdir(parents=True)
            node = Node(shared_server, folder, podman_env, name=f"mortal-{uuid.uuid4().hex[:12]}", image=crash_image)
            node.options, node.spawn = ("--network", "host"), nursery.start
            crush_database(folder / "home", node.name)
            made.append(Mortal(client, node, upload))
            return made[-1]

        yield make
        for mortal in made:
            mortal.end()
            if (mortal.node.folder / "runner.log").exists():
                print(json.dumps(mortal.node.name), mortal.logged())
