"""`remote_runner doctor`: whether this machine has what a runner needs, and the mend where it has not."""

import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from qb.client import ClientError
from remote_runner.config import Config
from remote_runner.confinement import metadata_open
from remote_runner.membership import open_client
from remote_runner.status import gather

LEAST_DISK = 1 << 30
PODMAN_SECONDS = 60
AS_ITS_USER = "run this as the runner's user"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` says what to do when it is not `ok`."""

    check: str
    ok: bool
    found: str
    mend: str = ""


def examine(config: Config) -> int:
    """Print what was found; 1 when something has to be mended."""
    findings = list(_findings(config))
    if config.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.check}: {finding.found}")
            if not finding.ok:
                print(f"      {finding.mend}")
    sys.stdout.flush()
    return 0 if all(finding.ok for finding in findings) else 1


def _findings(config: Config) -> Iterator[Finding]:
    checks: tuple[Callable[[Config], Finding], ...] = (
        _podman,
        _limits,
        _image,
        _state,
        _home,
        _disk,
        _metadata,
        _orchestrator,
        _identity,
    )
    for check in checks:
        yield check(config)
    if config.tls_cert:
        yield _certificate(config)


def _podman(config: Config) -> Finding:
    if shutil.which(config.container_runtime) is None:
        return Finding("podman", False, "not installed", "install it (Debian: apt-get install podman)")
    ok, said = _ask(config, "info", "--format", "{{.Version.Version}}, rootless: {{.Host.Security.Rootless}}")
    return Finding("podman", ok, said, f"run '{config.container_runtime} info' as this user and mend what it says")


def _limits(config: Config) -> Finding:
    ok, said = _ask(config, "info", "--format", "{{.Host.CgroupControllers}}")
    there = ok and all(name in said for name in ("cpu", "memory", "pids"))
    # a node without them is a good node for all other tasks
    return Finding("limits", True, f"cgroups work: {said}" if there else "no cgroups: tasks with limits go elsewhere")


def _image(config: Config) -> Finding:
    ok, _ = _ask(config, "image", "exists", config.container_image)
    words = "is here" if ok else "is not here yet: the first task fetches it"
    return Finding("image", True, f"{config.container_image} {words}")


def _state(config: Config) -> Finding:
    return _writable("state directory", config.state_dir, "give another with --state-dir")


def _home(config: Config) -> Finding:
    return _writable("Victoria home", config.victoria_home, "give another with --victoria-home")


def _disk(config: Config) -> Finding:
    free = shutil.disk_usage(_nearest(config.state_dir)).free
    return Finding("disk", free > LEAST_DISK, f"{free >> 20} MiB free", "make room: output waits here in an outage")


def _metadata(config: Config) -> Finding:
    if config.metadata:
        return Finding("metadata", True, "containers may reach the cloud's metadata service: --metadata yes")
    reason = metadata_open(config)
    if reason:
        return Finding("metadata", False, "not blocked", reason)
    missing = [name for name in ("nsenter", "ip") if shutil.which(name) is None]
    if missing:
        mend = "install util-linux and iproute2, or say --metadata yes"
        return Finding("metadata", False, f"cannot be blocked: there is no {' and no '.join(missing)}", mend)
    return Finding("metadata", True, "out of the containers' reach")


def _orchestrator(config: Config) -> Finding:
    try:
        with open_client(config) as client:
            version = client.version()
    except ClientError as error:
        return Finding("orchestrator", False, str(error), "check --orchestrator-url, --ca-file and the network")
    return Finding("orchestrator", True, f"{config.orchestrator_url} runs {version.version}, wire {version.wire}")


def _identity(config: Config) -> Finding:
    try:
        found = gather(config.state_dir)
    except OSError as error:
        return Finding("identity", False, f"{config.state_dir} cannot be read: {error.strerror}", AS_ITS_USER)
    if found["node_id"] and found["orchestrator_url"] == config.orchestrator_url:
        running = "its runner runs" if found["running"] else "no runner runs now"
        return Finding("identity", True, f"joined as {found['name']}; {running}")
    given = bool(config.registration_token or config.api_key)
    words = "not joined yet, with a credential to do so" if given else "not joined, and no credential"
    return Finding("identity", given, words, "give --registration-token or --api-key")


def _certificate(config: Config) -> Finding:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(str(config.tls_cert), config.tls_key)
    except (OSError, ssl.SSLError) as error:
        return Finding("certificate", False, str(error), "--tls-cert needs the chain in PEM, --tls-key its key")
    return Finding("certificate", True, f"{config.tls_cert} and its key belong together")


def _writable(what: str, path: Path, mend: str) -> Finding:
    nearest = _nearest(path)
    ok = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK, effective_ids=True)
    return Finding(what, ok, f"{path} {'can be written' if ok else 'cannot be written'}", mend)


def _nearest(path: Path) -> Path:
    """The path itself, or what of it there is and can be seen."""
    return next(each for each in (path, *path.parents) if os.access(each, os.F_OK, effective_ids=True))


def _ask(config: Config, *arguments: str) -> tuple[bool, str]:
    command = [config.container_runtime, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PODMAN_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr).strip()
