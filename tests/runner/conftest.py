"""A scripted orchestrator on loopback, an image of busybox, and the runner as a process of its own."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runner.orchestrator import Orchestrator, serving, wait_until
from tests.runner.process import IMAGE, Runner

PODMAN_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[engine]
runtime = "runc"
"""
BIN = "/bin/busybox"


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    with serving() as fleet:
        yield fleet


@pytest.fixture(scope="session")
def podman_env() -> dict[str, str]:
    """The environment in which podman works on a small machine, and the test image in it."""
    if os.environ.get("QB_TEST_NO_PODMAN") == "1":
        pytest.skip("QB_TEST_NO_PODMAN=1")
    if not shutil.which("podman") or not Path(BIN).exists():
        pytest.fail("podman and busybox-static are needed here; set QB_TEST_NO_PODMAN=1 to go without")
    shared = Path(tempfile.gettempdir()) / f"qb-runner-tests-{os.getuid()}"
    shared.mkdir(mode=0o700, exist_ok=True)
    env = dict(os.environ)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if "CONTAINERS_CONF" not in env and os.getuid() == 0:
            (shared / "containers.conf").write_text(PODMAN_CONF)
            env["CONTAINERS_CONF"] = str(shared / "containers.conf")
        if subprocess.run(["podman", "image", "exists", IMAGE], env=env, check=False).returncode:
            _build(shared, env)
    return env


def _build(folder: Path, env: dict[str, str]) -> None:
    shutil.copy(BIN, folder / "busybox")
    # the runner passes --accept-license --task PROMPT: the script is what follows
    (folder / "agent").write_text('#!/bin/sh\nexec /bin/sh -c "$3"\n')
    (folder / "agent").chmod(0o755)
    lines = ["FROM scratch", "COPY agent /agent", "COPY busybox /bin/busybox", "COPY busybox /bin/sh"]
    lines += [
        f"COPY busybox /bin/{tool}" for tool in ("cat", "sleep", "echo", "mkdir", "ln", "seq", "env", "tr", "head")
    ]
    (folder / "Containerfile").write_text("\n".join([*lines, 'ENTRYPOINT ["/agent"]', ""]))
    subprocess.run(
        ["podman", "build", "-q", "-t", IMAGE, str(folder)], env=env, check=True, capture_output=True, timeout=120
    )


@pytest.fixture
def runner(tmp_path: Path, orchestrator: Orchestrator, podman_env: dict[str, str]) -> Iterator[Runner]:
    made = Runner(tmp_path, orchestrator.url, podman_env, "host")
    yield made
    made.clean()
    if made.log.exists():
        print(made.logged())


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for a condition, with a deadline."""
    return wait_until
