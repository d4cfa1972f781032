"""Push by Ansible, over its local connection to this very machine: what is placed, what is started, what is left."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from qb.push.ansible import AnsibleTransport
from qb.push.ansible_play import LAYOUT, dispatch_playbook
from qb.push.transport import Outcome, PushNode

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
TASK = "3f2a0000-0000-4000-8000-000000000001"
SECRET = "prompt-{{ 6 * 7 }}-secret"
ASSIGNMENT: dict[str, Any] = {"task_id": TASK, "attempt": 1, "prompt": SECRET, "orchestrator_url": "http://127.0.0.1:9"}
NOBODY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}


def node(name: str = "edge-1", **variables: Any) -> PushNode:
    return PushNode(name, name, "ssh://127.0.0.1", "qbn_secret-key", 2, LOCAL | variables)


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[AnsibleTransport]:
    """A transport whose runners are started by a shell that notes what it was asked to start."""
    here = {
        "qb_runner_user": "root",
        "qb_runner_python": sys.executable,
        "qb_runner_config": str(tmp_path / "runner.toml"),
        "qb_handed_dir": str(tmp_path / "handed"),
        "qb_become": False,
        "qb_launcher": ["/bin/sh", "-c", f'echo "$0" "$@" >> {tmp_path}/started'],
    }
    (tmp_path / "runner.toml").write_text(f'orchestrator_url = "http://127.0.0.1:9"\nstate_dir = "{tmp_path}/state"\n')
    found = AnsibleTransport(tmp_path / "plays", dispatch_playbook(), dict(LAYOUT) | here)
    yield found
    await found.close()


async def test_an_assignment_is_placed_for_the_service_user_alone_and_a_runner_started(
    transport: AnsibleTransport, tmp_path: Path
) -> None:
    sent = await transport.send(node(), ASSIGNMENT)
    assert sent.outcome is Outcome.STARTED, sent.why
    (placed,) = (tmp_path / "handed").iterdir()
    assert stat.S_IMODE(placed.stat().st_mode) == 0o600
    assert json.loads(placed.read_text()) == {"api_key": "qbn_secret-key", "assignment": ASSIGNMENT}, "no template"
    started = (tmp_path / "started").read_text()
    assert f"remote_runner run-once --config {tmp_path}/runner.toml --assignment {placed}" in started
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
