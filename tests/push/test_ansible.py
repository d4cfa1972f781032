"""Push by Ansible, over its local connection to this very machine: what is placed, what is started, what is left."""

import asyncio
import json
import os
import queue
import stat
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from ansible_runner.exceptions import AnsibleRunnerException, ConfigurationError

from qb.push.ansible import AnsibleTransport
from qb.push.ansible_play import LAYOUT, Heard, Order, _inventory, dispatch_playbook
from qb.push.transport import Outcome, PushNode, Sent
from tests.e2e.ansible_node import render_launcher

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
TASK = "3f2a0000-0000-4000-8000-000000000001"
SECRET = "prompt-{{ 6 * 7 }}-secret"
ASSIGNMENT: dict[str, Any] = {"task_id": TASK, "attempt": 1, "prompt": SECRET, "orchestrator_url": "http://127.0.0.1:9"}
NOBODY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}


def node(name: str = "edge-1", **variables: Any) -> PushNode:
    return PushNode(name, name, "ssh://127.0.0.1", "qbn_secret-key", 2, LOCAL | variables)


@pytest.fixture
async def transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AnsibleTransport]:
    """A transport to what the role `runner` puts on a node; in place of systemd a script notes what it shall start."""
    (tmp_path / "node").mkdir()
    launcher = render_launcher(tmp_path / "node")
    (tmp_path / "node/bin/systemd-run").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/started\n')
    (tmp_path / "node/runner.toml").write_text(f'state_dir = "{tmp_path}/state"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}/node/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = AnsibleTransport(tmp_path / "plays", dispatch_playbook(), dict(LAYOUT) | {"qb_launcher": str(launcher)})
    yield found
    await found.close()


async def test_an_assignment_is_placed_for_the_service_user_alone_and_a_runner_started(
    transport: AnsibleTransport, tmp_path: Path
) -> None:
    sent = await transport.send(node(), ASSIGNMENT)
    assert sent.outcome is Outcome.STARTED, sent.why
    (placed,) = (tmp_path / "qb-handed").iterdir()
    assert (stat.S_IMODE(placed.stat().st_mode), stat.S_IMODE(placed.parent.stat().st_mode)) == (0o600, 0o700)
    assert json.loads(placed.read_text()) == {"api_key": "qbn_secret-key", "assignment": ASSIGNMENT}, "no template"
    started = (tmp_path / "started").read_text()
    assert f"remote_runner run-once --config {tmp_path}/node/runner.toml --assignment {placed}" in started
    assert f"--unit=qb-run-{TASK}-1 " in started
    assert list((tmp_path / "plays").iterdir()) == [], "what ansible-runner wrote is gone"
    placed.unlink()
    for path in tmp_path.rglob("*"):  # noqa: ASYNC240  a handful of small files
        if path.is_file():
            left = path.read_bytes()
            assert not (SECRET.encode() in left or b"qbn_secret-key" in left), path


async def test_one_play_serves_all_who_ask_at_once_and_one_out_of_reach_spoils_nothing(
    transport: AnsibleTransport, tmp_path: Path
) -> None:
    reached, lost, told = await asyncio.gather(
        transport.healthy(node("a")), transport.send(node("b", **NOBODY), ASSIGNMENT), transport.status(node("c"))
    )
    assert (reached, lost.outcome) == (True, Outcome.REFUSED), "nothing can have started there"
    assert told is not None
    assert told.running == [], "its journal is empty"
    assert not (tmp_path / "started").exists()


async def test_what_a_killed_server_left_is_purged(tmp_path: Path) -> None:
    (tmp_path / "plays" / "play-old").mkdir(parents=True)
    (tmp_path / "plays" / "play-old" / "handed-0").write_text(SECRET)
    await AnsibleTransport(tmp_path / "plays", dispatch_playbook()).close()
    assert list((tmp_path / "plays").iterdir()) == []


async def test_what_the_launcher_cannot_start_goes_back_with_its_reason(
    transport: AnsibleTransport, tmp_path: Path
) -> None:
    (tmp_path / "node/bin/systemd-run").write_text("#!/bin/sh\necho no bus to speak to >&2\nexit 1\n")
    sent = await transport.send(node(), ASSIGNMENT)
    assert sent.outcome is Outcome.REFUSED, sent.why
    assert "no bus to speak to" in sent.why
    assert list((tmp_path / "qb-handed").iterdir()) == [], "nothing secret stays"


async def test_the_operators_own_way_in_is_not_the_control_planes(tmp_path: Path) -> None:
    """Users, keys and sudo in the registry are for provisioning."""
    mine = {"ansible_user": "ops", "ansible_become": True, "ansible_ssh_private_key_file": "/home/ops/key"}
    inventory = _inventory(tmp_path, LAYOUT, [Order(node(ansible_port=2222, **mine), "ping")])["all"]
    assert mine.keys().isdisjoint(inventory["hosts"]["node0"])
    assert inventory["hosts"]["node0"]["ansible_port"] == 2222
    assert inventory["vars"]["ansible_user"] == "qb-runner"


class Plays:
    """In place of Ansible: each ping hangs until it is let go, and every other order is done at once."""

    def __init__(self) -> None:
        self.begun: queue.Queue[list[str]] = queue.Queue()
        self.let_go = threading.Event()

    def play(self, folder: Path, playbook: Path, layout: Any, orders: Sequence[Order], stopped: Any) -> list[Heard]:
        """One play, which ends with its slowest host."""
        self.begun.put([order.verb for order in orders])
        if any(order.verb == "ping" for order in orders):
            assert self.let_go.wait(60)
        return [Heard(reached=True, done=order.verb == "run") for order in orders]

    async def next(self) -> list[str]:
        """The verbs of the next play that begins."""
        return await asyncio.to_thread(self.begun.get, True, 30)


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Plays:
    made = Plays()
    monkeypatch.setattr("qb.push.ansible.play", made.play)
    return made


async def test_nodes_that_hang_hold_up_no_task_of_another(transport: AnsibleTransport, plays: Plays) -> None:
    pings = []
    try:
        for name in ("a", "b"):
            pings.append(asyncio.create_task(transport.healthy(node(name))))
            assert await plays.next() == ["ping"], "in a play of its own"
        pings.append(asyncio.create_task(transport.healthy(node("c"))))
        brought = asyncio.create_task(transport.send(node("d"), ASSIGNMENT))
        async with asyncio.timeout(30):
            sent = await brought
        assert sent.outcome is Outcome.STARTED, sent.why
        assert not any(ping.done() for ping in pings)
    finally:
        plays.let_go.set()
    assert await asyncio.gather(*pings) == [True, True, True]


async def test_what_waited_too_long_for_its_turn_is_not_brought(transport: AnsibleTransport, plays: Plays) -> None:
    async def late() -> bool:
        return False

    async def in_time() -> bool:
        return True

    async def broken() -> bool:
        raise OSError("no disk")

    found = await asyncio.gather(
        *(transport.send(node(each.__name__), ASSIGNMENT, each) for each in (late, in_time, broken)),
        return_exceptions=True,
    )
    assert await plays.next() == ["run"], "one of them, in one play"
    assert [each.outcome for each in found if isinstance(each, Sent)] == [Outcome.REFUSED, Outcome.STARTED]
    assert str(found[2]) == "no disk"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConfigurationError("there is no ansible-playbook"), Outcome.REFUSED),
        (AnsibleRunnerException("events directory is missing"), Outcome.UNKNOWN),
        (OSError("no room for the events"), Outcome.UNKNOWN),
    ],
)
async def test_what_ansible_itself_fails_of_is_told(
    transport: AnsibleTransport, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: Outcome
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr("ansible_runner.interface.run", fail)
    sent = await transport.send(node(), ASSIGNMENT)
    assert (sent.outcome, sent.why) == (outcome, f"ssh://127.0.0.1: Ansible cannot be run: {error}")
    assert not await transport.healthy(node())


async def test_a_bug_in_a_play_is_no_stopping_server_and_is_logged(
    transport: AnsibleTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> list[Heard]:
        raise RuntimeError("a bug")

    monkeypatch.setattr("qb.push.ansible.play", fail)
    with structlog.testing.capture_logs() as logged:
        sent = await transport.send(node(), ASSIGNMENT)
        await asyncio.sleep(0)
    assert sent.outcome is Outcome.UNKNOWN
    assert "broke off" in sent.why
    assert [entry["log_level"] for entry in logged] == ["critical"]
