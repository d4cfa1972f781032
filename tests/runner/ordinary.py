"""An ordinary user of this machine, made by root for one test and for the processes that it starts alone.

All of it is in a mount namespace of its own: the user's line in the lists of users and of subordinate ids, the
devices that rootless networks and storage need, and Python and this checkout in a place that the user can reach.
"""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.runner.conftest import PODMAN_CONF

CHECKOUT = Path(__file__).parents[2]
NAME, ID, SUBORDINATES = "qb-ordinary", 31415, 2_000_000
DEVICES = {"net/tun": (10, 200), "fuse": (10, 229)}
LINES = {
    "passwd": f"{NAME}:x:{ID}:{ID}::{{home}}:/bin/sh\n",
    "group": f"{NAME}:x:{ID}:\n",
    "subuid": f"{NAME}:{SUBORDINATES}:65536\n",
    "subgid": f"{NAME}:{SUBORDINATES}:65536\n",
}


class OrdinaryUser:
    """`prefix` before a command runs it as the user, with `env` alone; `python` is an interpreter for it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="qb-ordinary-"))
        self.folder.chmod(0o755)
        self.home = self._own("home", 0o755)
        self._runtime = self._own("run", 0o700)
        self.conf = self.folder / "containers.conf"
        self.conf.write_text(f'{PODMAN_CONF}cgroup_manager = "cgroupfs"\n')
        self.python = str(self.folder / "python" / "bin" / f"python3.{sys.version_info.minor}")
        self.prefix = ["unshare", "--mount", "sh", "-c", "\n".join(self._steps()), "sh"]

    @property
    def env(self) -> dict[str, str]:
        """Nothing of root's but the path to programs."""
        checkout = self.folder / "checkout"
        packages = Path(*[part for part in sys.path if part.endswith("site-packages")][:1])
        found = [checkout, checkout / "runner", checkout / packages.relative_to(CHECKOUT)]
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self._runtime),
            "CONTAINERS_CONF": str(self.conf),
            "PYTHONPATH": ":".join(map(str, found)),
            # its own library is where the user cannot reach it
            "LD_LIBRARY_PATH": str(self.folder / "python" / "lib"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *command: str, stdin: bytes = b"") -> str:
        """What the command prints."""
        done = subprocess.run(
            [*self.prefix, *command], env=self.env, input=stdin, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def close(self) -> None:
        """Leave nothing: podman's own process that holds the user's namespace, and the folder."""
        for path in self._runtime.rglob("pause.pid"):
            os.kill(int(path.read_text()), signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _own(self, name: str, mode: int) -> Path:
        path = self.folder / name
        path.mkdir()
        path.chmod(mode)
        os.chown(path, ID, ID)
        return path

    def _steps(self) -> list[str]:
        steps = ["set -e", "mount --make-rprivate /"]
        for source, name in ((Path(sys.base_prefix), "python"), (CHECKOUT, "checkout")):
            (self.folder / name).mkdir()
            steps.append(_bind(source, self.folder / name))
        for name, line in LINES.items():
            there = Path("/etc", name)
            copy = self.folder / name
            copy.write_text((there.read_text() if there.exists() else "") + line.format(home=self.home))
            there.touch()
            steps.append(_bind(copy, there))
        for name, (major, minor) in DEVICES.items():
            node = self.folder / Path(name).name
            os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(major, minor))
            node.chmod(0o666)
            steps.append(_bind(node, Path("/dev", name)))
        steps.append(f"cd {shlex.quote(str(self.home))}")
        steps.append(f'exec setpriv --reuid {ID} --regid {ID} --init-groups --inh-caps=-all "$@"')
        return steps


def _bind(source: Path, target: Path) -> str:
    return shlex.join(["mount", "--bind", str(source), str(target)])
