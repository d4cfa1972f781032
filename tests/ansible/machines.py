"""Machines to provision for real: systemd, sshd and a user with sudo, each in a container of its own."""

import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qb.demo import debian
from remote_runner.bridge import keep_address

HERE = Path(__file__).parent
BASE = "localhost/qb-systemd-base:latest"
IMAGE = "localhost/qb-test-host:latest"
USER, PASSWORD = "admin", f"pw-{uuid.uuid4().hex[:12]}"
PACKAGES = (
    "systemd systemd-sysv dbus dbus-user-session libpam-systemd python3 python3-venv openssh-server iproute2 "
    "ca-certificates sudo"
).split()
BOOT_SECONDS = 60


def build_image() -> None:
    """Make the machines' image, when it is not there yet."""
    if _podman("image", "exists", BASE, check=False).returncode:
        debian.bootstrap(BASE, PACKAGES)
    _podman("build", "-q", "--network=host", "-t", IMAGE, str(HERE / "host"), timeout=300)


@dataclass
class Machine:
    """One machine; `address` is its own, on podman's bridge."""

    name: str
    public_key: str
    address: str = ""
    container: str = field(default_factory=lambda: f"qb-host-{uuid.uuid4().hex[:8]}")
    options: tuple[str, ...] = ()

    def boot(self) -> None:
        """Make it from nothing."""
        command = ["run", "-d", "--name", self.container, "--hostname", self.name, "--systemd=always", "--privileged"]
        # overlay does not stack on overlay: what podman keeps in the machine lies on a volume
        command += ["--volume", f"{self.container}:/var/lib", *self.options, IMAGE]
        _podman(*command, timeout=120)

    def ready(self) -> None:
        """Wait until it has started, and let the operator in."""
        deadline = time.monotonic() + BOOT_SECONDS
        while (state := self.tries("systemctl", "is-system-running", "--wait").stdout.strip()) != "running":
            if time.monotonic() > deadline or state == "degraded":
                failed = self.tries("systemctl", "--failed", "--no-legend").stdout
                raise AssertionError(f"{self.name} does not boot: {state} {failed}")
            time.sleep(0.2)
        said = _podman("inspect", self.container, "--format", "{{.NetworkSettings.IPAddress}} {{.State.Pid}}").stdout
        self.address, pid = said.split()
        keep_address(int(pid))  # or ssh to the others hangs for a minute when a machine goes
        self.sh(
            f"echo {USER}:{PASSWORD} | chpasswd; install -d -m 700 -o {USER} /home/{USER}/.ssh; "
            f"echo '{self.public_key}' > /home/{USER}/.ssh/authorized_keys"
        )

    def destroy(self) -> None:
        """Remove it with all that it holds."""
        _podman("rm", "-f", "-t", "0", self.container, check=False)
        _podman("volume", "rm", "-f", self.container, check=False)

    def sh(self, script: str, *, timeout: float = 60, stdin: bytes | None = None) -> str:
        """What a script prints that root runs on it; fails when the script does."""
        done = self.tries("bash", "-c", script, timeout=timeout, stdin=stdin)
        assert done.returncode == 0, f"on {self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def tries(self, *command: str, timeout: float = 60, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as root on it, whatever comes of it."""
        done = subprocess.run(
            ["podman", "exec", "-i", self.container, *command],
            input=stdin or b"",
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def as_runner(self, command: str, *, stdin: bytes | None = None) -> str:
        """What a command prints that the runner's user runs."""
        return self.sh(
            "cd /; XDG_RUNTIME_DIR=/run/user/$(id -u qb-runner) exec setpriv --reuid qb-runner --regid qb-runner "
            f"--clear-groups env HOME=/var/lib/qb-runner {command}",
            stdin=stdin,
        )

    def journal(self, lines: int = 80) -> str:
        """The end of what its services have logged."""
        units = "qb-control-plane qb-dashboard qb-backup qb-runner 'user@*'".replace(" ", " -u ")
        said = self.tries("sh", "-c", f"journalctl --no-pager -q -n {lines} -u {units}; systemctl --failed --no-legend")
        return said.stdout + said.stderr

    def host_key(self) -> str:
        """Its line in known_hosts."""
        return f"{self.address} {self.sh('cat /etc/ssh/ssh_host_ed25519_key.pub').strip()}\n"


def wait_until_ready(machines: Mapping[str, Machine]) -> None:
    """Boot them all at once, then wait for each."""
    for machine in machines.values():
        machine.boot()
    for machine in machines.values():
        machine.ready()


def _podman(*arguments: str, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )
    assert not check or done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
    return done
