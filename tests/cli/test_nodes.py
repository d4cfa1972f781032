"""`qb node` and `qb version`, against the API played on loopback."""

import json
from typing import Any

import pytest

from qb.contract.fleet import Version
from qb.contract.nodes import Registered
from qb.contract.states import NodeState

ONE = "9c410000-0000-4000-8000-000000000001"
TWO = "9c420000-0000-4000-8000-000000000002"


@pytest.fixture
def fleet(connected: Any, make_node: Any) -> Any:
    connected.answers("GET", "/nodes", [make_node("berlin-1", ONE), make_node("berlin-2", TWO)])
    return connected


@pytest.mark.parametrize("given", ["berlin-1", ONE[:4], ONE[:4].upper(), ONE[:9]])
def test_a_node_is_found_by_name_and_by_the_start_of_its_id(qb: Any, fleet: Any, given: str) -> None:
    assert qb("node", "show", given, "-o", "id").out == f"{ONE}\n"


@pytest.mark.parametrize("given", ["berlin", "9c4", "ffff"])
def test_a_node_that_is_not_there_is_told(qb: Any, fleet: Any, given: str) -> None:
    ran = qb("node", "show", given)
    assert ran.code == 5
    assert ran.err == f"error: no node '{given}'\nhint: `qb node list` shows their names and ids\n"


def test_drain_and_resume_name_the_node_by_its_id(qb: Any, fleet: Any, make_node: Any) -> None:
    fleet.answers("POST", f"/nodes/{ONE}/drain", make_node("berlin-1", ONE, state=NodeState.DRAINING))
    fleet.answers("POST", f"/nodes/{ONE}/resume", make_node("berlin-1", ONE))
    assert "draining" in qb("node", "drain", "berlin-1").out
    assert "active" in qb("node", "resume", "berlin-1").out


def test_add_prints_the_key_once(qb: Any, connected: Any, make_node: Any) -> None:
    made = Registered(**make_node("cloud-1", ONE).model_dump(), api_key="qbn_secret")
    connected.answers("POST", "/nodes", made, 201)
    ran = qb("node", "add", "cloud-1", "--mode", "push", "--endpoint", "https://203.0.113.5:8443", "--tag", "a=b")
    assert "qbn_secret (shown this once)" in ran.out
    sent = connected.seen[0].json()
    assert (sent["mode"], sent["api_endpoint"], sent["tags"]) == ("push", "https://203.0.113.5:8443", {"a": "b"})
    assert qb("node", "add", "x", "--slots", "0").code == 2


@pytest.mark.parametrize(
    ("method", "path", "command"),
    [
        ("POST", "/nodes", ("node", "add", "cloud-1")),
        ("POST", f"/nodes/{ONE}/rotate", ("node", "rotate", "berlin-1")),
    ],
)
@pytest.mark.parametrize("length", [20, 47, 60, 80])
def test_a_key_that_is_shown_once_is_never_broken(
    qb: Any, fleet: Any, make_node: Any, method: str, path: str, command: tuple[str, ...], length: int
) -> None:
    key = ("qbn_" + "ab-c_d" * 20)[:length]
    named = make_node("cloud-1", ONE, capabilities=["chromium"])
    fleet.answers(method, path, Registered(**named.model_dump(), api_key=key), 201)
    ran = qb(*command, tty=True)
    (line,) = [line for line in ran.out.splitlines() if key in line]
    assert len(line) <= 80
    assert "(shown this once)" in ran.out


@pytest.mark.parametrize(
    ("host", "endpoint"), [("203.0.113.5", "http://203.0.113.5:8080"), ("2001:db8::5", "http://[2001:db8::5]:8080")]
)
def test_a_push_node_is_reached_where_its_machine_is(
    qb: Any, connected: Any, make_node: Any, host: str, endpoint: str
) -> None:
    connected.answers("POST", "/nodes", Registered(**make_node("c", ONE).model_dump(), api_key="qbn_secret"), 201)
    assert qb("node", "add", "c", "--mode", "push", "--host", host).code == 0
    sent = connected.seen[0].json()
    assert (sent["address"], sent["api_endpoint"]) == (host, endpoint)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mode", "push"), "--mode push needs --host or --endpoint"),
        (("--mode", "push", "--dispatch", "ansible"), "--dispatch ansible needs --host"),
        (("--host", "a;b"), "--host: must be a host name or an IP address"),
    ],
)
def test_a_node_that_could_not_be_reached_is_refused(
    qb: Any, connected: Any, options: tuple[str, ...], said: str
) -> None:
    ran = qb("node", "add", "c", *options)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: {said}")
    assert not connected.seen


def test_the_list_fits_a_terminal(qb: Any, fleet: Any) -> None:
    lines = qb("node", "list", tty=True).out.splitlines()
    assert lines[0].split()[:3] == ["ID", "NAME", "STATUS"]
    assert all(len(line) <= 80 for line in lines)


def test_version_tells_both_sides_and_works_without_an_orchestrator(
    qb: Any, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QB_PROFILE")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    ran = qb("version")
    assert (ran.code, ran.err) == (0, "")
    assert "no orchestrator is configured" in ran.out
    api.answers("GET", "/version", Version(version="9.9.9", wire=2))
    monkeypatch.setenv("QB_URL", api.url)
    assert json.loads(qb("version", "-o", "json").out)["orchestrator"]["version"] == "9.9.9"
