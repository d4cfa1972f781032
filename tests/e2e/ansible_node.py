"""A node that Ansible brings tasks to, over its local connection; what stands in for systemd is a loop in a shell."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment

from qb.contract.nodes import NodeCreate
from qb.contract.states import NodeDispatch, NodeMode
from tests.e2e.agent import Node, wait_until

LAUNCHER = Path(__file__).parents[2] / "roles/runner/templates/dispatch.j2"
HERE: dict[str, str | int | bool] = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}

SYSTEMCTL = """\
#!/bin/sh
# The one question that is asked of it.
echo inactive
"""
SYSTEMD_RUN = """\
#!/bin/sh
# Keeps a command going until it ends well, as Restart=on-failure does; each loop is a group of processes of its own.
while [ "${1#--}" != "$1" ]; do shift; done
setsid sh -c 'echo $$ >>"$0/loops"; until "$@" 2>>"$0/runner.log"; do sleep 0.2; done' FOLDER "$@" \\
    </dev/null >/dev/null 2>&1 &
"""


def render_launcher(folder: Path) -> Path:
    """The role's own launcher, for a program, settings and journal in `folder`; `bin` in it goes on the PATH first."""
    launcher, programs = folder / "dispatch", folder / "bin"
    values = {"ansible_managed": "for a test", "runner_home": folder, "runner_config_file": folder / "runner.toml"}
    launcher.write_text(Environment(autoescape=False).from_string(LAUNCHER.read_text("utf-8")).render(values))  # noqa: S701  a shell script
    (folder / "current").symlink_to(sys.prefix)
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemd-run").write_text(SYSTEMD_RUN.replace("FOLDER", str(folder)))
    for each in (launcher, programs / "systemctl", programs / "systemd-run"):
        each.chmod(0o755)
    return launcher


@dataclass
class AnsibleNode(Node):
    """Between tasks no runner of its runs; `start` registers it, once."""

    registered: bool = False

    def start(self, *more: str, env: Mapping[str, str] | None = None) -> None:
        """Write its settings, and register it; a runner that was killed is started again by its own loop."""
        if self.registered:
            return
        (self.folder / "runner.toml").write_text(
            f'orchestrator_url = "{self.server.url}"\nname = "{self.name}"\nstate_dir = "{self.folder}/state"\n'
            f'victoria_home = "{self.folder}/home"\ncontainer_image = "{self.image}"\npoll_interval = 1\n'
            f"drain_seconds = 0\nstop_grace = 1\n"
        )
        body = NodeCreate(
            name=self.name, mode=NodeMode.PUSH, dispatch=NodeDispatch.ANSIBLE, address="127.0.0.1", ansible=HERE
        )
        with self.server.client() as client:
            self.key = client.create_node(body).api_key
        self.registered = True

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Kill the runner, which is started again; any other signal ends it for good."""
        if number is signal.SIGKILL:
            os.kill(int(wait_until(self._runner, "a runner")), number)
            return
        for group in self._lines("loops"):
            with suppress(ProcessLookupError):
                os.killpg(int(group), signal.SIGKILL)

    def _runner(self) -> str | None:
        """The process id of the runner that has the state directory."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if words[2:3] == [b"remote_runner"] and f"{self.folder}/runner.toml".encode() in words:
                    return folder.name
        return None

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []
