"""Pushes of which nobody knows whether they arrived: the node is asked, and one container comes of it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from enum import StrEnum
from itertools import pairwise
from typing import Any

import pytest

from qb.client import QbClient
from qb.contract.nodes import NodeCreate
from qb.contract.states import NodeMode, TaskStatus
from qb.contract.tasks import Task
from tests.e2e.agent import Node, wait_until

pytestmark = pytest.mark.podman
SECONDS = 30


class Fate(StrEnum):
    """What becomes of a POST /run on its way."""

    SWALLOWED = "swallowed"
    ANSWER_LOST = "its answer is lost"


class Way:
    """The network between control plane and node: HTTP requests go through one by one, or meet a `fates`' end."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.fates: list[Fate] = []
        self.seen: list[tuple[float, str]] = []
        self.captured = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let nothing through any more."""
        self._listener.close()

    def count(self, path: str) -> int:
        """How many requests for it have come."""
        return sum(each == path for _, each in self.seen)

    def ask(self, request: bytes) -> bytes:
        """What the node answers, whoever asks."""
        with socket.create_connection(("127.0.0.1", self._target), SECONDS) as node:
            node.sendall(request)
            return b"".join(iter(lambda: node.recv(65536), b""))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        caller.settimeout(SECONDS)
        with closing(caller), suppress(OSError), caller.makefile("rb") as asked:
            lines = [line for line in iter(asked.readline, b"\r\n") if line]
            if not lines:
                return
            length = next((int(each.split(b":")[1]) for each in lines if each.lower().startswith(b"content-length")), 0)
            path = lines[0].split()[1].decode()
            self.seen.append((time.monotonic(), path))
            fate = self.fates.pop(0) if path == "/run" and self.fates else None
            if fate is Fate.SWALLOWED:
                return
            head = [line for line in lines if not line.lower().startswith(b"connection")]
            request = b"".join([*head, b"Connection: close\r\n\r\n"]) + asked.read(length)
            if path == "/run":
                self.captured = request
            answer = self.ask(request)
            if fate is None:
                caller.sendall(answer)


@pytest.fixture
def way(free_port: int) -> Iterator[Way]:
    """The way to the node."""
    made = Way(free_port)
    yield made
    made.close()


@pytest.fixture
def node(server: Any, way: Way, free_port: int, nodes: Callable[..., Node]) -> Node:
    """A push runner at the end of the way; it is not started yet."""
    node = nodes("far", mode="push", endpoint=f"http://127.0.0.1:{free_port}")
    with server.client() as client:
        body = NodeCreate(name=node.name, mode=NodeMode.PUSH, api_endpoint=way.url)
        node.key = client.create_node(body).api_key
    return node


@pytest.mark.parametrize("fates", [[each] for each in Fate] + [list(Fate)], ids=str)
def test_what_is_unknown_is_asked_after_and_runs_once(
    fates: list[Fate],
    client: QbClient,
    node: Node,
    way: Way,
    run: Callable[..., Task],
    ended: Callable[[Task], Task],
) -> None:
    way.fates += fates
    node.start()
    task = run("echo $TASK_ID >> /workspace/Victoria/starts")
    done = ended(task)
    assert (done.status, done.attempt) == (TaskStatus.SUCCESS, 1), "it is the same attempt that was sent again"
    assert (node.folder / "home" / "starts").read_text().split() == [task.id]
    assert way.fates == []
    sent, *others = [place for place, (_, path) in enumerate(way.seen) if path == "/run"]
    for again in others:
        between = [path for _, path in way.seen[sent:again]]
        assert "/status" in between, "the node was asked before anything was sent again"
        sent = again
    assert way.count("/run") == 1 + fates.count(Fate.SWALLOWED), "what it has is not sent again"


def test_a_captured_request_starts_nothing_in_a_thousand_replays(
    node: Node, way: Way, run: Callable[..., Task], ended: Callable[[Task], Task]
) -> None:
    node.start()
    task = run("echo $TASK_ID >> /workspace/Victoria/starts")
    assert ended(task).status is TaskStatus.SUCCESS
    assert {way.ask(way.captured).split(b"\r\n")[0] for _ in range(1000)} == {b"HTTP/1.1 200 OK"}
    following = run("echo $TASK_ID >> /workspace/Victoria/starts")
    assert ended(following).status is TaskStatus.SUCCESS
    assert (node.folder / "home" / "starts").read_text().split() == [task.id, following.id]


def test_a_node_that_fails_is_left_alone_for_longer_each_time(
    client: QbClient, node: Node, way: Way, free_port: int, run: Callable[..., Task], ended: Callable[[Task], Task]
) -> None:
    node.start()
    wait_until(lambda: client.node(node.name).status == "idle", "the node has joined")
    node.end()
    task = run("true")
    wait_until(lambda: len(way.seen) >= 6, "some tries")
    times = [moment for moment, _ in way.seen[-4:]]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[-1] > pauses[0], pauses
    assert not client.task(task.id).status.terminal, "nobody gives it up for that"
    node.start()
    assert ended(task).status is TaskStatus.SUCCESS
