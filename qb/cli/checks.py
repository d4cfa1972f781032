"""What `qb doctor` looks at. Each check answers with a Finding and raises nothing."""

import json
import os
import platform
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx2

from qb import __version__
from qb.cli.connection import open_client
from qb.cli.data_dir import check_database
from qb.cli.exits import CliError
from qb.cli.profile import Settings, settings
from qb.cli.refusals import as_cli_error
from qb.client import ClientError, QbClient
from qb.contract.states import WIRE

PODMAN_SECONDS = 20
SKEW_SECONDS = 5.0
"""A node or a reader of logs is misled by more than this."""


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report: what was looked at, what was found, and what mends it."""

    check: str
    outcome: Outcome
    found: str
    mend: str | None = None

    def as_data(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {**asdict(self), "outcome": self.outcome.value.lower()}


def examine(options: Mapping[str, Any], data_dir: Path | None, port: int) -> Iterator[Finding]:
    """Run every check; findings come as they are made."""
    yield python()
    yield podman()
    yield database(data_dir)
    known: Settings | None = None
    try:
        known = settings(os.environ, url=options.get("url"), name=options.get("profile"))
        yield Finding("settings", Outcome.OK, _told(known))
    except CliError as error:
        yield Finding("settings", Outcome.FAIL, error.message, error.hint)
    reached = False
    if known:
        for finding in _remote(known):
            reached = reached or (finding.check == "orchestrator" and finding.outcome is Outcome.OK)
            yield finding
    yield listen(port, served=reached)


def python() -> Finding:
    """This program and its interpreter."""
    return Finding("versions", Outcome.OK, f"qb {__version__}, wire {WIRE}, Python {platform.python_version()}")


def podman() -> Finding:
    """Whether podman is there and answers."""
    where = f" at {os.environ['CONTAINER_HOST']}" if os.environ.get("CONTAINER_HOST") else ""
    try:
        ran = subprocess.run(
            ["podman", "info", "--format", "json"], capture_output=True, timeout=PODMAN_SECONDS, check=False
        )
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip()[-300:]
            return Finding(
                "podman", Outcome.FAIL, f"podman info failed: {said}", "run `podman info` and mend what it says"
            )
        info = json.loads(ran.stdout)
        found = f"podman {info['version']['Version']}, {info['host']['ociRuntime']['name']}{where}"
    except FileNotFoundError:
        return Finding("podman", Outcome.FAIL, "podman is not installed", "install it: apt-get install podman")
    except subprocess.TimeoutExpired:
        return Finding(
            "podman",
            Outcome.FAIL,
            f"podman info took over {PODMAN_SECONDS} s",
            "is its storage locked? run `podman info`",
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Finding("podman", Outcome.FAIL, f"podman gave no answer to read: {error!r}", "run `podman info`")
    return Finding("podman", Outcome.OK, found)


def database(data_dir: Path | None) -> Finding:
    """Whether the control plane's files are whole."""
    if data_dir is None:
        return Finding("database", Outcome.SKIP, "no --data-dir given")
    try:
        return Finding("database", Outcome.OK, check_database(data_dir))
    except CliError as error:
        return Finding("database", Outcome.FAIL, error.message, error.hint)


def listen(port: int, *, served: bool) -> Finding:
    """Whether `qb serve` could have the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if served:
                return Finding("ports", Outcome.OK, f"{port} is in use, and the orchestrator answers")
            return Finding(
                "ports",
                Outcome.FAIL,
                f"127.0.0.1:{port}: {error.strerror}",
                "stop what uses it (ss -ltnp shows it), or give `qb serve` another --port",
            )
    return Finding("ports", Outcome.OK, f"{port} is free")


def _remote(known: Settings) -> Iterator[Finding]:
    try:
        client = open_client(known, timeout=10)
    except ClientError as error:
        yield _failed("orchestrator", error)
        return
    with client:
        try:
            health = client.health()
        except ClientError as error:
            yield _failed("orchestrator", error)
            return
        found = f"{health.status}, version {health.version}"
        bad = health.status != "ok"
        yield Finding(
            "orchestrator",
            Outcome.FAIL if bad else Outcome.OK,
            found + (f": {health.checks}" if bad else ""),
            "the server's log tells more" if bad else None,
        )
        yield _attempted("wire", lambda: _wire(client))
        yield clock(known)
        yield _key(known, client)


def _told(known: Settings) -> str:
    """Which orchestrator and which key, and where both come from."""
    if known.api_key and known.key_source == known.source:
        return f"{known.url} and key {known.key_begin}, from {known.source}"
    key = f"key {known.key_begin}, from {known.key_source}" if known.api_key else "no key"
    return f"{known.url}, from {known.source}; {key}"


def _attempted(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except ClientError as error:
        return _failed(check, error)


def _wire(client: QbClient) -> Finding:
    server = client.version()
    if server.wire_min > WIRE:
        return Finding(
            "wire",
            Outcome.FAIL,
            f"the orchestrator speaks wire {server.wire_min} and up, this qb {WIRE}",
            "upgrade qb here",
        )
    if server.wire < WIRE:
        return Finding(
            "wire",
            Outcome.FAIL,
            f"the orchestrator speaks wire {server.wire}, this qb {WIRE}",
            "upgrade the orchestrator",
        )
    return Finding("wire", Outcome.OK, f"both sides speak wire {WIRE}")


def _key(known: Settings, client: QbClient) -> Finding:
    if not known.api_key:
        return Finding("key", Outcome.FAIL, f"no key for {known.url}", "set QB_API_KEY, or choose a profile")
    try:
        client.tasks(limit=1)
    except ClientError as error:
        told = as_cli_error(error)
        return Finding("key", Outcome.FAIL, f"{known.key_begin}, from {known.key_source}: {told.message}", told.hint)
    return Finding("key", Outcome.OK, f"{known.key_begin} is accepted")


def clock(known: Settings) -> Finding:
    """How far this machine's clock is from the orchestrator's, as its Date header tells (to a second)."""
    try:
        ca_file = known.ca_file if known.url.startswith("https://") else None
        context = httpx2.create_ssl_context(verify=ca_file) if ca_file else True
        answer = httpx2.get(f"{known.url}/health", timeout=5, verify=context)
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except KeyError:
        return Finding("clock", Outcome.SKIP, "the orchestrator tells no time")
    except (httpx2.HTTPError, OSError, ValueError) as error:
        return Finding("clock", Outcome.SKIP, f"the orchestrator's time cannot be had: {error}")
    skew = (datetime.now(UTC) - theirs).total_seconds() - 0.5
    if abs(skew) > SKEW_SECONDS:
        way = "ahead of" if skew > 0 else "behind"
        return Finding(
            "clock",
            Outcome.FAIL,
            f"{abs(skew):.0f} s {way} the orchestrator",
            "set the clock: timedatectl set-ntp true",
        )
    return Finding("clock", Outcome.OK, "agrees with the orchestrator's")


def _failed(check: str, error: ClientError) -> Finding:
    told = as_cli_error(error)
    return Finding(check, Outcome.FAIL, told.message, told.hint)
