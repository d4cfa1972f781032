"""The push runner's own door: who is let in, what is refused, TLS, and what the control plane makes of it."""

import json
import os
import ssl
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qb.contract.push import RUN_LIMIT, SIGNATURE, signature

pytestmark = pytest.mark.podman
KEY = "qbn_first"


class Door:
    """A push runner and signed requests to it."""

    def __init__(self, runner: Any, port: int, until: Callable[..., Any]) -> None:
        self.runner, self.port, self._until = runner, port, until
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def open(self, *options: str) -> None:
        """Start the runner, and wait until it has joined and serves."""
        self.runner.start_push("--port", str(self.port), "--advertise-url", f"http://127.0.0.1:{self.port}", *options)
        self._until(lambda: "event=serving" in self.runner.logged(), what="a push runner that serves")

    def run(self, body: bytes, key: str = KEY, signed: str | None = None) -> httpx2.Response:
        """POST /run."""
        signed = signature(key, body) if signed is None else signed
        return self.http.post("/run", content=body, headers={"X-API-Key": key, SIGNATURE: signed})


@pytest.fixture
def door(runner: Any, free_port: int, until: Any) -> Iterator[Door]:
    """A push runner that is not started yet."""
    made = Door(runner, free_port, until)
    yield made
    made.http.close()


def assignment(**more: Any) -> bytes:
    """A body for /run."""
    given = {"task_id": str(uuid.uuid4()), "attempt": 1, "prompt": "echo pushed", "orchestrator_url": "http://qb"}
    return json.dumps(given | more).encode()


def test_a_signed_request_runs_and_everything_else_is_refused_with_a_reason(door: Door, orchestrator: Any) -> None:
    door.open()
    assert orchestrator.registrations[0].mode == "push"
    assert orchestrator.registrations[0].api_endpoint == f"http://127.0.0.1:{door.port}"
    assert door.http.get("/health").json()["mode"] == "push"
    assert door.http.get("/status").status_code == 401
    good = assignment()
    assert door.run(good, key="wrong").status_code == 401
    assert door.run(good, signed="").status_code == 401
    assert door.run(good, signed="0" * 64).status_code == 401
    assert door.run(b"x" * (RUN_LIMIT + 1)).status_code == 413
    for body, said in (
        (b"<html>", "no assignment"),
        (assignment(task_id="7"), "no UUID"),
        (assignment(files=["../x"]), "plain file name"),
        (assignment(env={"A=B": "c"}), "cannot be set"),
        (assignment(image="two words"), "no image reference"),
    ):
        answer = door.run(body)
        assert answer.status_code == 400
        assert said in answer.json()["detail"]
    assert not orchestrator.output
    answer = door.run(assignment(task_id=(task := str(uuid.uuid4())), unknown_field=1))
    assert (answer.status_code, answer.json()["status"], answer.json()["task_id"]) == (200, "started", task)
    assert orchestrator.verdict(task).status == "success"


def test_a_full_node_says_so_and_a_cancelled_task_ends(door: Door, orchestrator: Any, until: Any) -> None:
    door.open()
    task = str(uuid.uuid4())
    assert door.run(assignment(task_id=task, prompt="sleep 600")).status_code == 200
    until(lambda: orchestrator.permits(task), what="a start")
    assert door.run(assignment()).status_code == 409
    key = {"X-API-Key": KEY}
    assert door.http.get("/status", headers=key).json()["running"] == [{"task_id": task, "attempt": 1}]
    body = {"task_id": task, "attempt": 1}
    assert door.http.post("/cancel", json=body).status_code == 401
    assert door.http.post("/cancel", json=body, headers=key).status_code == 202
    assert orchestrator.verdict(task).reason == "cancelled_by_operator"


def test_an_address_that_is_not_allowed_gets_nothing_at_all(door: Door) -> None:
    door.open("--allow-from", "10.11.12.0/24")
    assert door.http.get("/health").status_code == 403
    assert door.run(assignment()).status_code == 403


@pytest.mark.parametrize(
    ("allowed", "status"),
    [("127.0.0.0/8", 200), ("::ffff:127.0.0.0/104", 200), ("10.11.12.0/24", 403), ("::1/128", 403)],
)
def test_a_door_for_both_kinds_of_addresses_knows_a_caller_by_the_one_it_has(
    door: Door, allowed: str, status: int
) -> None:
    door.open("--host", "::", "--allow-from", allowed)
    assert door.http.get("/health").status_code == status


def test_tls_is_served_with_the_certificate_that_is_given(door: Door, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    door.open("--tls-cert", str(cert), "--tls-key", str(key))
    with httpx2.Client(verify=ssl.create_default_context(cafile=cert), timeout=20) as https:
        assert https.get(f"https://localhost:{door.port}/health").json()["status"] == "ok"
        body = assignment()
        headers = {"X-API-Key": KEY, SIGNATURE: signature(KEY, body)}
        answer = https.post(f"https://localhost:{door.port}/run", content=body, headers=headers)
    assert answer.json()["status"] == "started"


def test_an_idle_push_runner_is_small(door: Door) -> None:
    door.open()
    assert door.http.get("/health").status_code == 200
    rollup = Path(f"/proc/{door.runner.process.pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    assert pss < 50 << 10, f"{pss >> 10} MiB; at most 50, on {os.uname().machine}"


def test_a_port_in_use_is_said_in_one_line(door: Door) -> None:
    door.open()
    command = ["--port", str(door.port), "--advertise-url", "http://x"]
    done = door.runner.once_push(*command)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("remote_runner: cannot listen on 127.0.0.1:")
