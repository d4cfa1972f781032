"""What every test may use: real podman, a tiny image, a free port."""

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.fixtures_server", "tests.fixtures_disk", "tests.fixtures_tls"]

NO_PODMAN = "QB_TEST_NO_PODMAN"
BUSYBOX = Path("/bin/busybox")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With QB_TEST_NO_PODMAN=1 leave the tests out that start containers, and say so."""
    if os.environ.get(NO_PODMAN) != "1":
        return
    left_out = [item for item in items if item.get_closest_marker("podman")]
    items[:] = [item for item in items if not item.get_closest_marker("podman")]
    config.hook.pytest_deselected(items=left_out)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"{NO_PODMAN}=1: {len(left_out)} tests that need podman are left out", yellow=True)


@pytest.fixture(autouse=True)
def _real_podman(request: pytest.FixtureRequest) -> None:
    """A test that needs podman fails where podman cannot work, rather than skip itself."""
    if request.node.get_closest_marker("podman"):
        request.getfixturevalue("podman_env")


@pytest.fixture(scope="session")
def podman_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which podman works on this machine, found out with a container of `busybox_image`."""
    env = dict(os.environ)
    image = _busybox_image(env, tmp_path_factory)
    found = subprocess.run(
        ["podman", "run", "--rm", image, "true"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if found.returncode:
        pytest.fail(f"podman does not work here (`make podman` mends it; {NO_PODMAN}=1 goes without): {found.stderr}")
    return env


@pytest.fixture(scope="session")
def busybox_image(podman_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image that holds nothing but a static busybox."""
    return _busybox_image(podman_env, tmp_path_factory)


def _busybox_image(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    name = "localhost/qb-test-busybox:latest"
    if shutil.which("podman") is None:
        pytest.fail(f"podman is not installed: `make podman` installs it; {NO_PODMAN}=1 goes without")
    lock = tmp_path_factory.getbasetemp().parent / "busybox-image.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if subprocess.run(["podman", "image", "exists", name], env=env, timeout=60, check=False).returncode == 0:
            return name
        if not BUSYBOX.exists():
            pytest.fail("busybox-static is not installed: `make podman` installs it")
        context = tmp_path_factory.mktemp("busybox")
        shutil.copy(BUSYBOX, context / "busybox")
        (context / "Containerfile").write_text(
            "FROM scratch\nCOPY busybox /bin/busybox\n"
            'RUN ["/bin/busybox", "--install", "/bin"]\nENV PATH=/bin\nCMD ["sh"]\n'
        )
        done = subprocess.run(
            ["podman", "build", "-q", "--network=host", "-t", name, str(context)],
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"podman cannot build an image here (`make podman` mends it): {done.stderr}")
    return name


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on loopback that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield port
