"""A poller that is gone never swallows a task: however it went, the task soon reaches a node that lives."""

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from qb.client import QbClient
from qb.contract.nodes import Register
from qb.contract.tasks import TaskCreate
from tests.fixtures_server import Server

NOTICED = 5.0
"""Seconds to a live node when the kernel tells the server that the poller is gone."""

SILENT = 20.0
"""Seconds when nothing tells: the host has vanished and its connection stays open."""

PATIENCE = 10.0
POLL = "GET /tasks/pending?wait=25 HTTP/1.1\r\nHost: test\r\nX-API-Key: {key}\r\n\r\n"
POLLING_PROCESS = """
import socket, sys, time
poller = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
poller.sendall(sys.argv[2].encode())
time.sleep(600)
"""


class Proxy:
    """Forwards one connection to a port, until its host vanishes: then it is silent and nothing is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._vanished = threading.Event()
        self._open = ExitStack()
        self._listener = self._open.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def vanish(self) -> None:
        """From now on nothing passes in either direction."""
        self._vanished.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def close(self) -> None:
        """Let go of everything."""
        self.vanish()
        self._open.close()

    def _accept(self) -> None:
        near = self._open.enter_context(self._listener.accept()[0])
        far = self._open.enter_context(socket.create_connection(("127.0.0.1", self._port)))
        for source, sink in ((near, far), (far, near)):
            source.settimeout(0.05)
            pump = threading.Thread(target=self._pump, args=(source, sink), daemon=True)
            self._threads.append(pump)
            pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        while not self._vanished.is_set():
            with suppress(TimeoutError):
                data = source.recv(65536)
                if not data:
                    return
                sink.sendall(data)


class Fleet:
    """The server with two nodes: `lost` polls first, so that a new task is meant for it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lost_key, self._live_key = self._join("lost"), self._join("live")

    @property
    def poll(self) -> str:
        """The request of the lost node's long poll."""
        return POLL.format(key=self.lost_key)

    def _join(self, name: str) -> str:
        with self.server.joining() as client:
            return client.register(Register(hostname=name, wire=2)).api_key

    def wait_for_the_poll(self) -> None:
        """Return once the server has heard the lost node's poll."""
        deadline = time.monotonic() + PATIENCE
        with self.server.client() as client:
            while True:
                node = client.node("lost")
                if node.last_seen_at != node.registered_at:
                    return
                assert time.monotonic() < deadline, "the server never heard the poll"
                time.sleep(0.05)

    def seconds_to_the_live_node(self) -> float:
        """Create a task for any node, poll with the live one at once, and tell how long the task took to reach it."""
        with self.server.client() as client, QbClient(self.server.url, api_key=self._live_key) as node:
            begun = time.monotonic()
            task = client.create_task(TaskCreate(prompt="reach a node that lives"))
            while time.monotonic() - begun < SILENT + PATIENCE:
                given = node.poll(wait=5)
                if given is not None:
                    assert given.task_id == task.id
                    return time.monotonic() - begun
        pytest.fail("the task never reached the live node")


@pytest.fixture
def fleet(server: Server) -> Fleet:
    return Fleet(server)


@pytest.fixture
def poller(fleet: Fleet) -> Iterator[socket.socket]:
    """A socket on which the lost node polls, known to the server."""
    with socket.create_connection(("127.0.0.1", fleet.server.port), timeout=PATIENCE) as polling:
        polling.sendall(fleet.poll.encode())
        fleet.wait_for_the_poll()
        yield polling


def test_a_poller_that_was_killed_leaves_the_task_to_a_live_node(fleet: Fleet) -> None:
    command = [sys.executable, "-c", POLLING_PROCESS, str(fleet.server.port), fleet.poll]
    process = subprocess.Popen(command)
    try:
        fleet.wait_for_the_poll()
    finally:
        process.kill()
    seconds = fleet.seconds_to_the_live_node()
    process.wait(PATIENCE)
    assert seconds < NOTICED


def test_a_poller_that_closed_its_socket_leaves_the_task_to_a_live_node(fleet: Fleet, poller: socket.socket) -> None:
    poller.close()
    assert fleet.seconds_to_the_live_node() < NOTICED


def test_a_poller_whose_connection_was_reset_leaves_the_task_to_a_live_node(
    fleet: Fleet, poller: socket.socket
) -> None:
    poller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    poller.close()
    assert fleet.seconds_to_the_live_node() < NOTICED


def test_a_poller_that_only_stops_sending_leaves_the_task_to_a_live_node(fleet: Fleet, poller: socket.socket) -> None:
    poller.shutdown(socket.SHUT_WR)
    assert fleet.seconds_to_the_live_node() < NOTICED


def test_a_poller_whose_host_has_vanished_leaves_the_task_to_a_live_node(fleet: Fleet) -> None:
    proxy = Proxy(fleet.server.port)
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as polling:
            polling.sendall(fleet.poll.encode())
            fleet.wait_for_the_poll()
            proxy.vanish()
            seconds = fleet.seconds_to_the_live_node()
    finally:
        proxy.close()
    assert seconds < SILENT
