"""What a container may not do."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_runner import confinement as confining
from remote_runner.choices import RootFs
from remote_runner.config import Config
from remote_runner.confinement import SCRATCH, confinement
from remote_runner.images import ImageDetails
from remote_runner.podman_api import EngineError
from tests.runner.process import IMAGE

pytestmark = pytest.mark.podman
METADATA = "169.254.169.254"
DAC_OVERRIDE = 1 << 1


def config(tmp_path: Path, **more: Any) -> Config:
    return Config("http://x", "n", tmp_path / "state", tmp_path / "home", **more)


@pytest.fixture
def bridged(runner: Any) -> Any:
    """The runner with podman's own network, where a container has a network namespace of its own."""
    at = runner.options.index("--network")
    del runner.options[at : at + 2]
    return runner


@pytest.fixture
def metadata_service(podman_env: dict[str, str]) -> Iterator[None]:
    """The address of a metadata service on this machine's loopback, as a cloud's is on its network."""
    change = ["ip", "address", "{}", f"{METADATA}/32", "dev", "lo"]
    subprocess.run([part.format("add") for part in change], check=False, capture_output=True)
    yield
    subprocess.run([part.format("del") for part in change], check=False, capture_output=True)


def run(orchestrator: Any, script: str, **more: Any) -> str:
    task_id = orchestrator.assign(script, **more)
    verdict = orchestrator.verdict(task_id)
    assert verdict.status == "success", verdict
    return str(orchestrator.text(task_id))


REACH = (
    f"if busybox ping -c 1 -W 1 {METADATA} >/dev/null 2>&1; then echo reached; else echo blocked; fi; "
    "busybox ip route del unreachable 169.254.169.254 2>/dev/null && echo removed; exit 0"
)


def test_the_metadata_address_is_out_of_reach(orchestrator: Any, bridged: Any, metadata_service: None) -> None:
    bridged.start("--cap-add", "net_raw")
    assert run(orchestrator, REACH) == "blocked\n"
    bridged.end()
    bridged.start("--cap-add", "net_raw", "--metadata", "yes")
    assert run(orchestrator, REACH) == "reached\n", "the test itself sees a service that is there"


@pytest.fixture
def lowest_port() -> Iterator[list[str]]:
    """The command that gives podman's bridge a port with the lowest of all addresses; it is taken away again."""
    name = f"qbt{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "address", "02:00:00:00:00:01", "type", "veth"], check=True)
    yield ["ip", "link", "set", "dev", name, "master"]
    subprocess.run(["ip", "link", "delete", name], check=True)


def test_the_bridge_keeps_its_address_whatever_comes_and_goes(
    orchestrator: Any, bridged: Any, until: Any, lowest_port: list[str]
) -> None:
    """It would take its lowest port's, and change when that leaves: the others would reach nothing for a minute."""
    bridged.start()
    task_id = orchestrator.assign("echo up; sleep 60")
    until(lambda: orchestrator.text(task_id) == "up\n", what="the container's start")
    networks = subprocess.run(["podman", "network", "inspect", "podman"], capture_output=True, text=True, check=True)
    bridge = json.loads(networks.stdout)[0]["network_interface"]
    address = Path("/sys/class/net") / bridge / "address"
    before = address.read_text()
    subprocess.run([*lowest_port, bridge], check=True)
    assert address.read_text() == before


def test_on_the_hosts_network_the_hosts_routes_are_left_alone(orchestrator: Any, runner: Any) -> None:
    runner.start()
    assert run(orchestrator, "echo ran") == "ran\n"
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    assert METADATA not in routes
    assert runner.logged().count("with --network host containers reach whatever this machine reaches") == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes a network namespace by itself")
def test_a_block_that_takes_for_ever_is_a_failure_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ip").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(confining, "SECONDS", 0.2)
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(EngineError, match="cannot block the metadata address"):
            confining.block_metadata(other.pid)
        other.kill()


def test_nothing_but_workspace_home_and_scratch_can_be_written(orchestrator: Any, runner: Any) -> None:
    runner.start()
    script = (
        "for d in / /bin /root /workspace /tmp /var/tmp $TASK_OUTPUT_DIR; do echo x > $d/probe && echo $d; done; exit 0"
    )
    text = run(orchestrator, script)
    assert text.splitlines()[:4] == ["/root", "/workspace", *SCRATCH]
    assert len(text.splitlines()) == 5
    runner.end()
    runner.start("--root-fs", "writable")
    assert run(orchestrator, "echo x > /bin/probe && echo written") == "written\n"


def test_what_an_image_keeps_in_its_home_is_there(orchestrator: Any, runner: Any, tmp_path: Path) -> None:
    lines = [f"FROM {IMAGE}", "ENV HOME=/home/agent", "COPY note /home/agent/note"]
    (tmp_path / "note").write_text("kept\n")
    (tmp_path / "Containerfile").write_text("\n".join(lines))
    image = f"localhost/qb-test-home-{tmp_path.name}".lower().replace("_", "-")
    subprocess.run(
        ["podman", "build", "-q", "-t", image, str(tmp_path)],
        env=runner.env,
        check=True,
        capture_output=True,
        timeout=120,
    )
    try:
        runner.start()
        script = "cat /home/agent/note; echo more >> /home/agent/note && cat /home/agent/note"
        assert run(orchestrator, script, image=image) == "kept\nkept\nmore\n"
        assert run(orchestrator, "cat /home/agent/note", image=image) == "kept\n", "each container has its own"
    finally:
        runner.clean()
        subprocess.run(["podman", "rmi", image], env=runner.env, check=False, capture_output=True, timeout=60)


def test_no_capability_and_no_new_privilege_is_left(orchestrator: Any, runner: Any) -> None:
    runner.start()
    text = run(orchestrator, "cat /proc/self/status")
    status = dict(line.split(":", 1) for line in text.splitlines())
    assert {status[name].strip() for name in ("CapEff", "CapBnd", "CapPrm")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"


@pytest.mark.skipif(os.getuid() != 0, reason="a rootless container's root is the runner's own user")
@pytest.mark.parametrize("mode", ["shared", "task"])
def test_root_can_write_in_a_home_that_belongs_to_another_user(orchestrator: Any, runner: Any, mode: str) -> None:
    (runner.home / "notes").mkdir(parents=True)
    for path in (runner.home, runner.home / "notes"):
        os.chown(path, 1234, 1234)
        path.chmod(0o700)
    runner.start("--workspace", mode)
    script = "cd /workspace/Victoria && echo new > notes/new && cat notes/new; cat /proc/self/status"
    kept, *status = run(orchestrator, script).splitlines()
    assert kept == "new"
    effective = next(line.split(":")[1].strip() for line in status if line.startswith("CapEff"))
    assert int(effective, 16) == (DAC_OVERRIDE if mode == "shared" else 0), "and no other right comes with it"


def test_containers_leave_no_volumes_behind(orchestrator: Any, runner: Any, until: Any) -> None:
    runner.start()
    task_id = orchestrator.assign("sleep 2")
    until(lambda: orchestrator.permits(task_id) and runner.containers("--filter", "status=running"), what="the start")
    (container,) = runner.containers()
    shown = subprocess.run(
        ["podman", "inspect", "--format", "{{json .Mounts}}", container],
        env=runner.env,
        capture_output=True,
        check=True,
    )
    volumes = {each["Name"] for each in json.loads(shown.stdout) if each["Type"] == "volume"}
    assert len(volumes) == 4
    orchestrator.verdict(task_id)
    until(lambda: not runner.containers(), what="the removal")
    left = subprocess.run(["podman", "volume", "ls", "-q"], env=runner.env, capture_output=True, text=True, check=True)
    assert not volumes & set(left.stdout.split())


def test_a_task_that_leaves_too_much_is_ended(orchestrator: Any, runner: Any) -> None:
    runner.start("--out-limit-mb", "8")
    task_id = orchestrator.assign("head -c 20000000 /dev/zero > $TASK_OUTPUT_DIR/big; exec sleep 50")
    verdict = orchestrator.verdict(task_id)
    assert verdict.reason == "disk_limit"
    assert "8 MiB" in verdict.message
    assert orchestrator.artifacts == {}
    short = orchestrator.assign("head -c 20000000 /dev/zero > $TASK_OUTPUT_DIR/big")
    assert orchestrator.verdict(short).reason == "disk_limit", "one that ends at once is seen too"


def test_an_image_whose_home_is_not_known_keeps_a_writable_root(tmp_path: Path) -> None:
    spec = confinement(config(tmp_path), ImageDetails(None))
    assert "read_only_filesystem" not in spec
    assert spec["cap_drop"] == ["all"]


def test_each_right_can_be_given_back(tmp_path: Path) -> None:
    open_config = config(tmp_path, root_fs=RootFs.WRITABLE, cap_add=("all",), new_privileges=True)
    assert confinement(open_config, ImageDetails("/root")) == {"no_new_privileges": False}
    some = confinement(config(tmp_path, cap_add=("chown",), writable=("/opt/x",)), ImageDetails("/root"))
    assert some["cap_add"] == ["chown"]
    assert {"Dest": "/opt/x"} in some["volumes"]
