"""SIGHUP: a new worker takes over, and nothing that was accepted is lost."""

import os
import signal
import threading
import time
from collections import Counter

import httpx2

from tests.fixtures_server import Server

PATIENCE = 30


def workers(server: Server) -> set[int]:
    """The processes that serve."""
    assert server.process is not None
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children") as children:  # noqa: PTH123 - procfs
        return {int(pid) for pid in children.read().split()}


def reload(server: Server) -> None:
    """Let a new worker take over, and wait until it has."""
    before = workers(server)
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE
    while not (now := workers(server)) or now & before:
        assert time.monotonic() < deadline, "the old worker is still there"
        time.sleep(0.02)


def test_a_client_that_hammers_through_reloads_loses_nothing_that_was_accepted(server: Server) -> None:
    stop, accepted, said = threading.Event(), [], Counter[str]()

    def hammer() -> None:
        with server.http() as http:
            while not stop.is_set():
                try:
                    answer = http.post("/tasks", json={"prompt": "hammered"})
                except httpx2.TransportError as error:
                    # A connection that was idle may be closed just as a request is sent: nothing was accepted then.
                    said[type(error).__name__] += 1
                    continue
                said[str(answer.status_code)] += 1
                if answer.status_code == 201:
                    accepted.append(answer.json()["id"])

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            seen = len(accepted)
            reload(server)
            deadline = time.monotonic() + PATIENCE
            while len(accepted) < seen + 50:
                assert time.monotonic() < deadline, said
                time.sleep(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    # A refusal says that nothing was done: 503 while the old worker stops.
    assert set(said) <= {"201", "503", "RemoteProtocolError", "ReadError", "WriteError"}, said
    with server.http() as http:
        for task in accepted:
            assert http.get(f"/tasks/{task}").status_code == 200
    assert [entry for entry in server.log if entry["event"] == "stopped"]


def test_a_poll_and_a_stream_end_at_a_reload_and_can_begin_again_at_once(server: Server) -> None:
    with server.http() as http:
        node = http.post("/nodes", json={"name": "n"}).json()
    answers: list[tuple[int, float]] = []
    begun = threading.Event()

    def poll() -> None:
        with server.http(node["api_key"]) as own:
            begun.set()
            answer = own.get("/tasks/pending", params={"wait": "25"})
            answers.append((answer.status_code, time.monotonic()))
            answers.append((own.get("/tasks/pending").status_code, time.monotonic()))

    polling = threading.Thread(target=poll)
    polling.start()
    assert begun.wait(PATIENCE)
    with server.http() as http:
        deadline = time.monotonic() + PATIENCE
        while "qb_pollers_waiting 1.0" not in http.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    at = time.monotonic()
    reload(server)
    polling.join(PATIENCE)
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1] - at < 5


def test_a_heartbeat_that_waits_is_answered_at_a_reload(server: Server) -> None:
    with server.http() as http:
        body = {"hostname": "box", "wire": 2}
        joined = http.post("/register", json=body, headers={"X-Registration-Token": server.registration_token}).json()
    answers: list[tuple[int, bool]] = []

    def beat() -> None:
        with server.http(joined["api_key"]) as own:
            begun = time.monotonic()
            answer = own.post("/nodes/heartbeat", json={"wait": 25})
            answers.append((answer.status_code, time.monotonic() - begun < 15))

    beating = threading.Thread(target=beat)
    beating.start()
    seen = f"/nodes/{joined['id']}"
    with server.http() as http:
        deadline = time.monotonic() + PATIENCE
        while http.get(seen).json()["last_seen_at"] == joined["last_seen_at"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    reload(server)
    beating.join(PATIENCE)
    assert answers == [(200, True)]


def test_a_killed_worker_is_replaced(server: Server) -> None:
    (worker,) = workers(server)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx2.get(f"{server.url}/readyz", timeout=5).status_code == 200 and workers(server) != {worker}:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)
