"""What the runner is told on its command line and in its environment."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from qb.contract.nodes import MAX_SLOTS

DEFAULT_IMAGE = "ghcr.io/elcanotek/victoria-terminal:latest"
EXAMPLE = """\
example:
  QB_REGISTRATION_TOKEN=qbr_... python -m remote_runner pull --orchestrator-url https://qb.example.org --name acme-1
"""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one runner. Times are in seconds, sizes in bytes."""

    orchestrator_url: str
    name: str
    state_dir: Path
    victoria_home: Path
    registration_token: str | None = None
    api_key: str | None = None
    poll_interval: float = 30.0
    container_image: str = DEFAULT_IMAGE
    container_runtime: str = "podman"
    env_file: Path | None = None
    ca_file: Path | None = None
    network: str | None = None
    slots: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    stop_grace: int = 10
    spool_limit: int = 256 << 20
    heartbeat_interval: float = 15.0


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Config:
    """Read the command line; exits with status 2 and one line when it makes no sense."""
    parser = _parser()
    args = parser.parse_args(argv)
    token = args.registration_token or environ.get("QB_REGISTRATION_TOKEN") or None
    key = args.api_key or environ.get("QB_NODE_KEY") or None
    for option, path in (("--env-file", args.env_file), ("--ca-file", args.ca_file)):
        if path and not path.is_file():
            parser.error(f"{option} {path}: there is no such file; name one that exists")
    return Config(
        orchestrator_url=args.orchestrator_url.rstrip("/"),
        name=args.name,
        state_dir=args.state_dir.absolute(),
        victoria_home=args.victoria_home.expanduser().absolute(),
        registration_token=token,
        api_key=key,
        poll_interval=args.poll_interval,
        container_image=args.container_image,
        container_runtime=args.container_runtime,
        env_file=args.env_file and args.env_file.absolute(),
        ca_file=args.ca_file and args.ca_file.absolute(),
        network=args.network,
        slots=args.slots,
        tags=dict(args.tag),
        capabilities=tuple(args.capability),
        stop_grace=args.stop_grace,
        spool_limit=args.spool_limit_mb << 20,
    )


def _parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="remote_runner", epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = root.add_subparsers(dest="mode", required=True, metavar="MODE")
    pull = modes.add_parser(
        "pull",
        help="ask the orchestrator for tasks",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = pull.add_argument
    add("--orchestrator-url", required=True, metavar="URL")
    add("--registration-token", metavar="T", help="joins the fleet (or QB_REGISTRATION_TOKEN)")
    add("--api-key", metavar="K", help="a key the node already has (or QB_NODE_KEY)")
    add("--name", default=socket.gethostname(), metavar="N", help="the node's name (default: the host's)")
    add("--poll-interval", type=_seconds, default=30.0, metavar="S", help="longest wait after failures")
    add("--container-image", default=DEFAULT_IMAGE, metavar="IMG")
    add("--container-runtime", default="podman", metavar="CMD", help="podman, or the path of one")
    add("--victoria-home", type=Path, default=Path("~/Victoria"), metavar="DIR")
    add("--env-file", type=Path, metavar="F", help="variables for every container")
    add("--ca-file", type=Path, metavar="F", help="CA of an orchestrator with a private one")
    add("--network", metavar="NAME", help="as for podman run: a network, 'host', 'slirp4netns:OPTIONS'")
    add("--state-dir", type=Path, default=_state_dir(), metavar="DIR")
    add("--slots", type=_slots, default=1, metavar="N", help="containers at a time")
    add("--tag", type=_pair, action="append", default=[], metavar="K=V")
    add("--capability", action="append", default=[], metavar="C")
    add("--stop-grace", type=int, default=10, metavar="S", help="between TERM and KILL of a cancelled task")
    add("--spool-limit-mb", type=int, default=256, metavar="MB", help="output kept while it can't be sent")
    return root


def _state_dir() -> Path:
    return platformdirs.user_state_path("all-time-quarterback") / "runner"


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return value


def _slots(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_SLOTS:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {MAX_SLOTS}")
    return value


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value
