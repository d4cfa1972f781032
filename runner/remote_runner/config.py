"""What the runner is told: by flag, else in its environment, else in its file, else as usual."""

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, NoReturn

from remote_runner.choices import PullPolicy, RootFs, WorkspaceMode
from remote_runner.options import DEFAULT_IMAGE, OPTIONS, PREFIX, PUSH, Option, existing_file, path

EXAMPLE = """\
example:
  QB_REGISTRATION_TOKEN=qbr_... python -m remote_runner pull --orchestrator-url https://qb.example.org --name acme-1

Each option is also a variable (--slots: QB_RUNNER_SLOTS) and a key of the --config file (slots = 4).
A flag counts before the variable, the variable before the file.
"""
MODES = {
    "pull": "ask the orchestrator for tasks",
    "push": "let the orchestrator bring tasks",
    "run-once": "run the one assignment that a file holds, then end",
    "status": "tell what the runner of this state directory does",
    "doctor": "check what a runner needs here, and say the mend",
}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one runner. Times are in seconds, sizes in bytes."""

    orchestrator_url: str
    name: str
    state_dir: Path
    victoria_home: Path
    mode: str = "pull"
    once: bool = False
    assignment: Path | None = None
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
    drain_seconds: float = 0.0
    spool_limit: int = 256 << 20
    heartbeat_interval: float = 15.0
    workspace: WorkspaceMode = WorkspaceMode.SHARED
    template: Path | None = None
    keep_workspaces: float = 24 * 3600.0
    out_limit: int = 4 << 30
    pull: PullPolicy = PullPolicy.MISSING
    require_digest: bool = False
    registry_auth_file: Path | None = None
    root_fs: RootFs = RootFs.READ_ONLY
    writable: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    new_privileges: bool = False
    metadata: bool = False
    host: str = "127.0.0.1"
    port: int = 8080
    advertise_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_from: tuple[IPv4Network | IPv6Network, ...] = ()
    json: bool = False


class ConfigError(Exception):
    """The settings make no sense; the message names the one and the mend."""

    usage = ""
    """What the command line may be, where it is that which makes no sense, and the program's name."""


class _Parser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would end the process: a runner takes its settings anew while it runs."""

    def error(self, message: str) -> NoReturn:
        error = ConfigError(message)
        error.usage = f"{self.format_usage()}{self.prog}"
        raise error


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Config:
    """Read the command line; exits with status 2 and one line when it makes no sense."""
    try:
        return read(argv, environ)
    except ConfigError as error:
        print(f"{error.usage or 'remote_runner'}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def read(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Config:
    """The settings of a command line, its environment and its file. Raises ConfigError."""
    given = vars(_parser().parse_args(argv))
    config = given.pop("config") or environ.get(PREFIX + "CONFIG")
    file = _file(Path(config)) if config else {}
    values: dict[str, Any] = {"mode": given["mode"], "json": given.get("json", False)}
    values["once"] = given.get("once", False) or given["mode"] == "run-once"
    values["assignment"] = given.get("assignment")
    for option in OPTIONS:
        values[option.name] = _value(option, given[option.name], environ, file)
    values["tags"] = dict(values["tags"])
    _together(values)
    return Config(**values)


def _value(option: Option, flag: Any, environ: Mapping[str, str], file: Mapping[str, Any]) -> Any:
    if flag is not None:
        return tuple(flag) if option.many else flag
    text = environ.get(option.variable)
    if text:
        texts = [part.strip() for part in text.split(",") if part.strip()] if option.many else [text]
        return _parsed(option, texts, option.variable)
    if option.key in file:
        return _parsed(option, _texts(option, file[option.key]), f"{option.key} in the --config file")
    return option.default


def _parsed(option: Option, texts: Sequence[str], where: str) -> Any:
    try:
        values = tuple(option.parse(text) for text in texts)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return values if option.many else values[0]


def _texts(option: Option, value: Any) -> list[str]:
    """A TOML value as the texts that flags would carry."""
    if option.many and isinstance(value, dict):
        return [f"{key}={text}" for key, text in value.items()]
    if option.many and isinstance(value, list):
        return [str(each) for each in value]
    if isinstance(value, bool) and isinstance(option.default, bool):
        return ["yes" if value else "no"]
    if option.many or isinstance(value, bool | dict | list):
        wanted = "a list, or a table of KEY = VALUE" if option.many else "one text or number"
        raise ConfigError(f"{option.key} in the --config file is not {wanted}")
    return [str(value)]


def _file(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(existing_file(str(path)).read_text("utf-8"))
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"--config {error}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {path}: {error}") from error
    unknown = sorted(set(found) - {option.key for option in OPTIONS})
    if unknown:
        raise ConfigError(f"--config {path}: no option is called {unknown[0]!r}; `remote_runner pull --help` lists all")
    return found


def _together(values: Mapping[str, Any]) -> None:
    """What only makes sense with something else."""
    if values["orchestrator_url"] is None and values["mode"] != "status":
        raise ConfigError("no orchestrator: give --orchestrator-url, QB_RUNNER_ORCHESTRATOR_URL or orchestrator_url")
    if values["slots"] > 1 and values["workspace"] is WorkspaceMode.SHARED:
        raise ConfigError("--slots above 1 needs --workspace task: a shared workspace serves one task at a time")
    if bool(values["tls_cert"]) != bool(values["tls_key"]):
        raise ConfigError("--tls-cert and --tls-key go together: give both or none")


def _parser() -> _Parser:
    shape = argparse.RawDescriptionHelpFormatter
    root = _Parser(prog="remote_runner", epilog=EXAMPLE, formatter_class=shape)
    modes = root.add_subparsers(dest="mode", required=True, metavar="MODE")
    for mode, words in MODES.items():
        parser = modes.add_parser(mode, help=words, description=words, epilog=EXAMPLE, formatter_class=shape)
        parser.add_argument("--config", metavar="F", help="a TOML file of options")
        if mode in ("pull", "push"):
            parser.add_argument("--once", action="store_true", help="see one task through, then end")
        elif mode == "run-once":
            parser.add_argument("--assignment", metavar="F", type=path, required=True, help="the file; it is removed")
        else:
            parser.add_argument("--json", action="store_true", help="print one JSON object")
        groups: dict[str, Any] = {}
        for option in OPTIONS:
            if mode in ("pull", "run-once") and option.group == PUSH:
                parser.set_defaults(**{option.name: None})
                continue
            group = groups.setdefault(option.group, parser.add_argument_group(option.group))
            group.add_argument(
                option.flag,
                *option.also,
                dest=option.name,
                type=option.parse,
                action="append" if option.many else "store",
                metavar=option.metavar,
                help=option.help,
            )
    return root
