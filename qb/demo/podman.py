"""Make podman work here: use it as it is, or let the project's own role install and configure it."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qb.demo.checkout import root
from qb.demo.command import attempt, run
from qb.demo.errors import DemoError

SMOKE_IMAGE = "localhost/qb-smoke:latest"
FALLBACK = "/etc/containers/containers.conf.d/50-all-time-quarterback.conf"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Network:
    """How containers reach a server on this machine: where it must listen, and under which name they know it."""

    listen: str | None
    agent_host: str
    podman_network: str | None = None


def prepare(say: Say) -> None:
    """Return once podman runs containers here. Raises DemoError that says exactly what to install or to mend."""
    if _smoke():
        say("podman works")
        return
    if os.geteuid() != 0:
        raise DemoError(_advice())
    reason = "is not installed" if shutil.which("podman") is None else "runs no container yet"
    say(f"podman {reason}: running the role podman (playbooks/podman.yml)")
    top = root()
    command = [
        f"{sys.prefix}/bin/ansible-playbook",
        "-i",
        str(top / "inventory" / "local.yml"),
        str(top / "playbooks" / "podman.yml"),
    ]
    env = {"ANSIBLE_CONFIG": str(top / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    run(command, timeout=900, what="the role podman", env=env, cwd=top)
    if not _smoke():
        raise DemoError("podman still runs no container: `podman run --rm localhost/qb-smoke true` says why")
    note = f" with the fallback configuration {FALLBACK}" if Path(FALLBACK).exists() else ""
    say(f"podman works{note}")


def network() -> Network:
    """Find out how containers reach this machine."""
    if os.geteuid() == 0:
        # The bridge appears with the first container; the server may bind its address before.
        gateway = run(
            ["podman", "network", "inspect", "podman", "--format", "{{range .Subnets}}{{.Gateway}}{{end}}"],
            timeout=30,
            what="asking podman for its bridge",
        ).strip()
        # By address: a machine that is a container itself hands its own host.containers.internal on to its containers.
        return Network(gateway, gateway)
    # Rootless containers have a network of their own; slirp4netns leads to the machine's loopback on request.
    return Network(None, "10.0.2.2", "slirp4netns:allow_host_loopback=true")


def _smoke() -> bool:
    if shutil.which("podman") is None:
        return False
    exists, _, _ = attempt(["podman", "image", "exists", SMOKE_IMAGE], timeout=60)
    if exists != 0 and not _build():
        return False
    status, _, _ = attempt(["podman", "run", "--rm", SMOKE_IMAGE, "true"], timeout=120)
    return status == 0


def _build() -> bool:
    busybox = shutil.which("busybox")
    if busybox is None:
        return False
    context = root() / ".state" / "smoke"
    context.mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, context / "busybox")
    lines = 'FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox"]\n'
    (context / "Containerfile").write_text(lines, "utf-8")
    status, _, _ = attempt(["podman", "build", "-q", "-t", SMOKE_IMAGE, str(context)], timeout=120)
    return status == 0


def _advice() -> str:
    packages = "podman uidmap slirp4netns fuse-overlayfs busybox-static"
    if shutil.which("podman") is None:
        return f"podman is not installed: run `apt-get install {packages}` as root, or run this as root once"
    if shutil.which("busybox") is None:
        return "busybox is not installed (the smoke container is made of it): `apt-get install busybox-static` as root"
    return (
        "podman runs no container for this user: `podman run --rm localhost/qb-smoke true` says why; "
        f"`apt-get install {packages}` as root and subordinate ids in /etc/subuid and /etc/subgid usually mend it"
    )
