"""What a container may not do: capabilities, new privileges, its root file system, the metadata addresses.

The metadata service of a cloud hands its credentials to whoever can reach a link-local address. A container's
network namespace is made by ``init``, before its program runs, and gets a route there that leads nowhere; the
container, without CAP_NET_ADMIN, cannot take it away.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from remote_runner.choices import RootFs, WorkspaceMode
from remote_runner.config import Config
from remote_runner.images import ImageDetails
from remote_runner.podman_api import EngineError

METADATA = ("169.254.169.254/32", "fd00:ec2::254/128")
SCRATCH = ("/tmp", "/var/tmp")  # noqa: S108  paths in the container, of its own
WORKPLACE = "/workspace"
SECONDS = 60
"""Long enough for a machine with much else to do: it is two short programs."""


def confinement(config: Config, image: ImageDetails) -> dict[str, Any]:
    """The part of podman's specification that takes rights away."""
    spec: dict[str, Any] = {"no_new_privileges": not config.new_privileges}
    if "all" not in config.cap_add:
        spec |= {"cap_drop": ["all"], "cap_add": [*config.cap_add, *_to_write(config)]}
    if config.root_fs is RootFs.READ_ONLY and image.home:
        # anonymous volumes: they begin as a copy of what the image has there, and go with the container
        writable = dict.fromkeys((WORKPLACE, image.home, *SCRATCH, *config.writable))
        spec |= {"read_only_filesystem": True, "volumes": [{"Dest": path} for path in writable]}
    return spec


def _to_write(config: Config) -> tuple[str, ...]:
    """What root in a container needs to write in a shared home that belongs to another user of this machine.

    A rootless container's root is the runner's own user, and a task's own folder is the runner's.
    """
    if os.getuid() or config.workspace is not WorkspaceMode.SHARED:
        return ()
    try:
        foreign = config.victoria_home.stat().st_uid != 0
    except OSError:
        return ()
    return ("dac_override",) if foreign else ()


def metadata_open(config: Config) -> str:
    """Why the metadata addresses cannot be blocked for containers with these settings; empty when they can."""
    if config.metadata or config.network != "host":
        return ""
    return (
        "with --network host containers reach whatever this machine reaches, a cloud's metadata service included: "
        "choose another --network, or say --metadata yes"
    )


def block_metadata(pid: int) -> None:
    """Lead the metadata addresses nowhere in the network of the process `pid`, which is not the host's own.

    Raises EngineError when it cannot be done: a container that should not reach them must not start.
    """
    if not (shutil.which("nsenter") and shutil.which("ip")):
        raise EngineError("blocking the metadata address needs nsenter and ip: install util-linux and iproute2")
    enter = ["nsenter", "--target", str(pid), "--net"]
    if os.getuid():
        # a rootless container's network belongs to its user namespace
        enter += ["--user", "--preserve-credentials"]
    batch = "".join(f"route replace unreachable {address}\n" for address in METADATA)
    command = [*enter, "ip", "-force", "-batch", "-"]
    try:
        done = subprocess.run(command, input=batch, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"cannot block the metadata address: {error}") from error
    # the second line fails where the kernel has no IPv6, and then there is nothing to block
    if done.returncode and "Command failed -:2" not in done.stderr.splitlines()[:2]:
        raise EngineError(f"cannot block the metadata address: {done.stderr.strip() or done.returncode}")


def limits_hold(pid: int) -> bool:
    """Whether the process `pid` is in a cgroup of its own, without which podman ignores limits."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text() != Path("/proc/self/cgroup").read_text()
    except OSError:
        return False


def shares_our_network(pid: int) -> bool:
    """Whether the process `pid` is in the host's own network. Raises EngineError when it is gone."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    except OSError as error:
        raise EngineError(f"the container's process {pid} is gone before it began: {error}") from error
