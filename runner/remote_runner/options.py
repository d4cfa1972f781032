"""Every option of the runner, in one table: its flag, its variable, its key in the file, what it may be."""

import argparse
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import platformdirs

from qb.client.credentials import check
from qb.client.errors import BadCredential
from qb.contract.addresses import web_address
from qb.contract.nodes import MAX_SLOTS
from remote_runner.choices import PullPolicy, RootFs, WorkspaceMode

DEFAULT_IMAGE = "ghcr.io/elcanotek/victoria-terminal:latest"
PREFIX = "QB_RUNNER_"
JOINING, LOCAL, CONTAINERS, PUSH = "the orchestrator", "this node", "containers", "push mode"
IMAGES, CONFINED = "images", "what containers may not do"


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `parse` reads its text, and raises ValueError or ArgumentTypeError with the reason."""

    flag: str
    parse: Callable[[str], Any]
    default: Any
    metavar: str
    help: str
    group: str = LOCAL
    field: str = ""
    env: str = ""
    many: bool = False
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The field of Config that it fills."""
        return self.field or self.flag[2:].replace("-", "_")

    @property
    def key(self) -> str:
        """What it is called in the file."""
        return self.name if self.many else self.flag[2:].replace("-", "_")

    @property
    def variable(self) -> str:
        """What it is called in the environment."""
        return self.env or PREFIX + self.key.upper()


def url(text: str) -> str:
    """An http or https address without its trailing slash."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no address: it begins with http:// or https://")
    return text.rstrip("/")


def secret(text: str) -> str:
    """A key or token; no message shows it."""
    try:
        return check(text, "this secret")
    except BadCredential as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def endpoint(text: str) -> str:
    """An address that the control plane can call: it refuses others."""
    try:
        return web_address(url(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from error


def path(text: str) -> Path:
    """An absolute path; ~ is the home directory."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def existing_file(text: str) -> Path:
    """The path of a file that is there."""
    found = path(text)
    if not _looked_at(text, found.is_file):
        raise argparse.ArgumentTypeError(f"{text}: there is no such file; name one that exists")
    return found


def existing_folder(text: str) -> Path:
    """The path of a folder that is there."""
    found = path(text)
    if not _looked_at(text, found.is_dir):
        raise argparse.ArgumentTypeError(f"{text}: there is no such folder; name one that exists")
    return found


def _looked_at(text: str, look: Callable[[], bool]) -> bool:
    try:
        return look()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from error


def pair(text: str) -> tuple[str, str]:
    """KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def between(low: float, high: float, number: type[int] | type[float] = int) -> Callable[[str], float]:
    """A number within bounds."""

    def parse(text: str) -> float:
        try:
            value = number(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {'whole ' * (number is int)}number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return parse


def one_of(choices: type[StrEnum]) -> Callable[[str], StrEnum]:
    """One of a few words."""

    def parse(text: str) -> StrEnum:
        try:
            return choices(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}") from None

    return parse


def _cidr(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no address range: {error}") from None


def _mebibytes(text: str) -> int:
    return int(between(1, 1 << 20)(text)) << 20


def _hours(text: str) -> float:
    return between(0, 24 * 30, float)(text) * 3600


def _yes_no(text: str) -> bool:
    words = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return words[text.lower()]


def _state_dir() -> Path:
    return platformdirs.user_state_path("all-time-quarterback") / "runner"


OPTIONS: tuple[Option, ...] = (
    Option("--orchestrator-url", url, None, "URL", "where the control plane answers", JOINING),
    Option(
        "--registration-token", secret, None, "T", "lets this node join the fleet", JOINING, env="QB_REGISTRATION_TOKEN"
    ),
    Option("--api-key", secret, None, "K", "a key that the node already has", JOINING, env="QB_NODE_KEY"),
    Option("--ca-file", existing_file, None, "F", "CA of an orchestrator with a private one", JOINING),
    Option("--poll-interval", between(0.1, 3600, float), 30.0, "S", "longest wait after failures", JOINING),
    Option("--name", str, socket.gethostname(), "N", "the node's name; default: the host's"),
    Option("--tag", pair, (), "K=V", "a label that tasks can ask for", field="tags", many=True, also=("--label",)),
    Option("--capability", str, (), "C", "something this node can do", field="capabilities", many=True),
    Option("--slots", between(1, MAX_SLOTS), 1, "N", "containers at a time"),
    Option("--state-dir", path, _state_dir(), "DIR", "journal, outbox and identity; one runner each"),
    Option("--drain-seconds", between(0, 86400, float), 30.0, "S", "after SIGTERM: wait so long for what runs"),
    Option("--spool-limit-mb", _mebibytes, 256 << 20, "MB", "output kept while it can't be sent", field="spool_limit"),
    Option("--container-image", str, DEFAULT_IMAGE, "IMG", "for tasks that name none", CONTAINERS),
    Option("--container-runtime", str, "podman", "CMD", "podman, or the path of one", CONTAINERS),
    Option("--victoria-home", path, path("~/Victoria"), "DIR", "mounted at /workspace/Victoria", CONTAINERS),
    Option("--env-file", existing_file, None, "F", "variables for every container", CONTAINERS),
    Option("--network", str, None, "NAME", "a network, 'host', 'slirp4netns:OPTIONS', as podman's", CONTAINERS),
    Option("--stop-grace", between(0, 3600), 10, "S", "between TERM and KILL of a cancelled task", CONTAINERS),
    Option(
        "--workspace",
        one_of(WorkspaceMode),
        WorkspaceMode.SHARED,
        "MODE",
        "shared, or task: a home for each",
        CONTAINERS,
    ),
    Option("--template", existing_folder, None, "DIR", "what a task's home begins as; default: Victoria's", CONTAINERS),
    Option("--keep-workspaces", _hours, 86400.0, "H", "hours that an ended task's folder stays", CONTAINERS),
    Option(
        "--out-limit-mb", _mebibytes, 4 << 30, "MB", "most that a task may leave in out", CONTAINERS, field="out_limit"
    ),
    Option("--pull", one_of(PullPolicy), PullPolicy.MISSING, "WHEN", "fetch images: missing, always, never", IMAGES),
    Option("--require-digest", _yes_no, False, "yes|no", "run only images named by digest", IMAGES),
    Option("--registry-auth-file", existing_file, None, "F", "logins as podman login keeps them", IMAGES),
    Option("--root-fs", one_of(RootFs), RootFs.READ_ONLY, "HOW", "of containers: read-only or writable", CONFINED),
    Option("--writable", str, (), "DIR", "besides /workspace, $HOME and /tmp", CONFINED, many=True),
    Option("--cap-add", str, (), "CAP", "a capability to leave, or all", CONFINED, many=True),
    Option("--new-privileges", _yes_no, False, "yes|no", "let setuid programs raise privileges", CONFINED),
    Option("--metadata", _yes_no, False, "yes|no", "let containers reach the cloud's metadata", CONFINED),
    Option("--host", str, "127.0.0.1", "ADDRESS", "where to listen", PUSH),
    Option("--port", between(0, 65535), 8080, "N", "port to listen on; 0 takes a free one", PUSH),
    Option("--advertise-url", endpoint, None, "URL", "where the control plane reaches this node", PUSH),
    Option("--tls-cert", existing_file, None, "F", "certificate chain to serve HTTPS with", PUSH),
    Option("--tls-key", existing_file, None, "F", "its key", PUSH),
    Option("--allow-from", _cidr, (), "CIDR", "callers that are answered; default: all", PUSH, many=True),
)
