"""The log: one JSON object a line on stdout, refusals and state changes in it, and never a credential."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qb.api.logs import redact
from tests.fixtures_server import Server, new_server

PATIENCE = 20


def told(server: Server, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The first line that is `wanted`, once it is there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for entry in list(server.log):
            if wanted(entry):
                return entry
        assert time.monotonic() < deadline, list(server.log)
        time.sleep(0.02)


def test_a_refusal_is_one_line_with_its_request_id_and_no_credential(server: Server) -> None:
    stray = f"/tasks/{server.admin_key}"
    with server.http() as http:
        missing = http.get(stray)
        http.get("/tasks")
    with server.http("qba_" + "x" * 43) as http:
        refused = http.get("/tasks", headers={"X-Request-ID": "mine-1"})
    line = told(server, lambda entry: entry.get("status") == 404)
    assert line["request_id"] == missing.headers["X-Request-ID"]
    assert (line["event"], line["level"], line["method"], line["caller"]) == ("request", "info", "GET", "admin")
    assert line["path"] == "/tasks/qba_[redacted]"
    line = told(server, lambda entry: entry.get("status") == 401)
    assert line["request_id"] == "mine-1" == refused.headers["X-Request-ID"]
    assert not [entry for entry in server.log if entry.get("status") == 200], "what went well is not told"
    assert server.admin_key not in str(server.log)
    assert "x" * 43 not in str(server.log)


def test_the_end_of_a_task_and_a_node_that_joins_are_told(server: Server) -> None:
    with server.http() as http:
        task = http.post("/tasks", json={"prompt": "work"}).json()["id"]
        http.delete(f"/tasks/{task}")
        token = {"X-Registration-Token": server.registration_token}
        http.post("/register", json={"hostname": "box", "os_type": "linux", "wire": 2}, headers=token)
    line = told(server, lambda entry: entry["event"] == "task")
    assert (line["task_id"], line["status"], line["reason"]) == (task, "cancelled", "cancelled_by_operator")
    assert told(server, lambda entry: entry["event"] == "node joined")["node"] == "box"


def test_every_request_is_told_where_that_is_wanted(tmp_path: Path) -> None:
    own = new_server(tmp_path / "qb", "--log-requests")
    own.start()
    try:
        with own.http() as http:
            http.get("/version")
        line = told(own, lambda entry: entry.get("path") == "/version")
    finally:
        own.stop()
    assert (line["level"], line["status"]) == ("debug", 200)


def test_credentials_are_taken_out_of_any_text() -> None:
    key = "qbn_" + "0" * 32 + "_1_" + "A-b_" * 10
    entry = redact(None, "info", {"exception": f"Traceback: key {key} is odd", "count": 3, "event": "qb starts"})
    assert entry == {"exception": "Traceback: key qbn_[redacted] is odd", "count": 3, "event": "qb starts"}
