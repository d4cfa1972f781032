"""The runner as an ordinary user, with podman's rootless containers: what it promises holds there, too.

The tests of root make such a user; run by an ordinary user they are about that one.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from remote_runner.confinement import SCRATCH
from tests.runner.ordinary import ID, OrdinaryUser
from tests.runner.process import IMAGE, Runner

pytestmark = [pytest.mark.podman, pytest.mark.skipif(os.getuid() != 0, reason="the other tests are rootless then")]
METADATA = "169.254.169.254"


@pytest.fixture(scope="module")
def user(podman_env: dict[str, str]) -> Iterator[OrdinaryUser]:
    """An ordinary user who has the test image."""
    made = OrdinaryUser()
    try:
        image = subprocess.run(["podman", "save", IMAGE], env=podman_env, check=True, capture_output=True, timeout=120)
        made.run("podman", "load", "--quiet", stdin=image.stdout)
        assert made.run("podman", "info", "--format", "{{.Host.Security.Rootless}}").strip() == "true"
        yield made
    finally:
        made.close()


@pytest.fixture
def runner(user: OrdinaryUser, orchestrator: Any, tmp_path: Any) -> Iterator[Runner]:
    """A runner of that user's, with podman's usual network."""
    folder = user.home / tmp_path.name
    user.run("mkdir", str(folder))
    made = Runner(folder, orchestrator.url, user.env, None)
    made.log = tmp_path / "runner.log"
    made.prefix, made.python = user.prefix, user.python
    yield made
    made.clean()
    print(made.logged())


@pytest.fixture
def metadata_service(user: OrdinaryUser) -> Iterator[int]:
    """Something that listens at the metadata service's address; its port."""
    change = ["ip", "address", "{}", f"{METADATA}/32", "dev", "lo"]
    subprocess.run([part.format("add") for part in change], check=False, capture_output=True)
    with closing(socket.create_server((METADATA, 0))) as listener:
        threading.Thread(target=_greet, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
    subprocess.run([part.format("del") for part in change], check=False, capture_output=True)


def _greet(listener: socket.socket) -> None:
    try:
        while True:
            caller, _ = listener.accept()
            caller.sendall(b"secret\n")
            caller.close()
    except OSError:
        return


def run(orchestrator: Any, script: str, **more: Any) -> str:
    task_id = orchestrator.assign(script, **more)
    verdict = orchestrator.verdict(task_id)
    assert verdict.status == "success", verdict
    return str(orchestrator.text(task_id))


def test_a_task_with_a_file_runs_and_leaves_artifacts(orchestrator: Any, runner: Any, until: Any) -> None:
    orchestrator.files["a.csv"] = b"a,b\n"
    runner.start("--keep-workspaces", "0")
    script = 'cat "$TASK_FILES_DIR/a.csv"; echo kept > $TASK_OUTPUT_DIR/kept; cat /proc/self/uid_map'
    first, mapped = run(orchestrator, script, files=["a.csv"]).splitlines()[:2]
    assert first == "a,b"
    assert mapped.split()[:2] == ["0", str(ID)], "its root is the user, and nobody of more rights"
    assert orchestrator.artifacts == {"kept": b"kept\n"}
    until(lambda: not runner.containers(), what="the container's removal")
    assert f"Uid:\t{ID}\t{ID}" in _status(runner.process.pid)


def test_no_capability_no_new_privilege_and_no_other_place_to_write(orchestrator: Any, runner: Any) -> None:
    runner.start()
    script = "for d in / /bin /root /workspace /tmp; do echo x > $d/probe && echo $d; done; cat /proc/self/status"
    lines = run(orchestrator, script).splitlines()
    assert lines[:3] == ["/root", "/workspace", SCRATCH[0]]
    status = dict(line.split(":", 1) for line in lines[3:])
    assert {status[name].strip() for name in ("CapEff", "CapBnd", "CapPrm")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"


def test_the_metadata_address_is_out_of_reach(orchestrator: Any, runner: Any, metadata_service: int) -> None:
    script = f"busybox nc -w 3 {METADATA} {metadata_service} < /dev/null || echo blocked"
    runner.start()
    assert run(orchestrator, script) == "blocked\n"
    runner.end()
    runner.start("--metadata", "yes")
    assert run(orchestrator, script) == "secret\n", "the test itself sees a service that is there"


def test_a_node_without_cgroups_says_so_and_refuses_limits(orchestrator: Any, runner: Any) -> None:
    runner.start()
    assert run(orchestrator, "echo ran") == "ran\n"
    assert orchestrator.registrations[0].limits is False
    verdict = orchestrator.verdict(orchestrator.assign("echo ran", limits={"memory_mb": 64}))
    assert verdict.reason == "refused_by_node"
    assert "cgroups" in verdict.message


def test_timeout_kill_and_cancel_are_as_ever(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    late = orchestrator.verdict(orchestrator.assign("sleep 600", timeout_seconds=1))
    assert late.reason == "timeout"
    task_id = orchestrator.assign("echo on; until [ -e $TASK_OUTPUT_DIR/go ]; do sleep 0.1; done; echo off")
    until(lambda: orchestrator.text(task_id) == "on\n", what="the start")
    runner.kill()
    runner.start()
    (runner.home / "tasks" / task_id[:8] / "out" / "go").touch()
    assert orchestrator.verdict(task_id).status == "success"
    assert orchestrator.text(task_id) == "on\noff\n"
    stopped = orchestrator.assign("echo on; sleep 600")
    until(lambda: (stopped, 1) in orchestrator.output, what="another start")
    orchestrator.cancel.append({"task_id": stopped, "attempt": 1})
    assert orchestrator.verdict(stopped).reason == "cancelled_by_operator"
    assert not runner.containers()


def test_what_a_container_s_other_users_leave_is_swept(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start("--workspace", "task", "--keep-workspaces", "0", "--cap-add", "chown", "--cap-add", "dac_override")
    script = "cd $TASK_OUTPUT_DIR; mkdir d; echo x > d/f; busybox chmod 700 d; busybox chown -R 1234 d"
    task_id = orchestrator.assign(script)
    assert orchestrator.verdict(task_id).status == "success"
    folder = runner.state / "workspaces" / f"{task_id[:8]}-1"
    runner.end()
    assert folder.exists()
    runner.start("--workspace", "task", "--keep-workspaces", "0")
    until(lambda: not folder.exists(), what="the sweep")


def _status(pid: int) -> str:
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        return file.read()
