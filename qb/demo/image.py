"""Build the demo agent's image, from a registry's Python where one answers, else from a debootstrap base."""

import hashlib
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from qb.demo import debian
from qb.demo.checkout import HERE, root
from qb.demo.command import attempt, run
from qb.demo.errors import DemoError

IMAGE = "localhost/qb-demo-agent:latest"
BASE = "localhost/qb-debian-base:latest"
REGISTRY_BASE = "docker.io/library/python:3-slim"
LABEL = "qb.inputs"
REGISTRY_SECONDS = 15
PULL_SECONDS = 600
IN_CONTAINER_CA = "/etc/ssl/certs/ca-certificates.crt"
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
Say = Callable[[str], None]


def build(say: Say) -> str:
    """The image's name; built only when what goes into it has changed. Raises DemoError."""
    inputs = _fingerprint()
    status, label, _ = attempt(
        ["podman", "image", "inspect", IMAGE, "--format", f'{{{{index .Labels "{LABEL}"}}}}'], timeout=60
    )
    if status == 0 and label.strip() == inputs:
        say("the demo agent's image is up to date")
        return IMAGE
    base = _base(say)
    say(f"building the demo agent's image from {base}")
    with tempfile.TemporaryDirectory(prefix="qb-image-") as folder:
        context = Path(folder)
        _fill(context)
        run(_build_command(context, base, inputs), timeout=900, what="building the demo agent's image")
    return IMAGE


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(_inputs()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _inputs() -> Iterator[Path]:
    top = root()
    yield top / "pyproject.toml"
    yield from (HERE / "agent").glob("[!_.]*")
    for folder in ("qb/contract", "qb/client", "mcp_status"):
        yield from (top / folder).rglob("*.py")


def _fill(context: Path) -> None:
    for path in (HERE / "agent").glob("[!_.]*"):
        if path.is_file():
            shutil.copy(path, context)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(context), str(root())]
    run(wheel, timeout=180, what="building the wheel")


def _build_command(context: Path, base: str, inputs: str) -> list[str]:
    command = ["podman", "build", "--quiet", "--tag", IMAGE, "--label", f"{LABEL}={inputs}"]
    command += ["--build-arg", f"BASE={base}"]
    authority = _certificates()
    if authority is not None:
        command += ["--volume", f"{authority}:{IN_CONTAINER_CA}:ro", "--build-arg", f"PIP_CERT={IN_CONTAINER_CA}"]
    for name in PASSED_ON:
        if os.environ.get(name):
            command += ["--build-arg", f"{name}={os.environ[name]}"]
    return [*command, "--file", str(context / "Containerfile"), str(context)]


def _certificates() -> Path | None:
    """The machine's own CA bundle: pip in the container must trust what pip outside trusts."""
    for name in (os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE"), IN_CONTAINER_CA):
        if name and Path(name).is_file():
            return Path(name)
    found = ssl.get_default_verify_paths().cafile
    return Path(found) if found else None


def _base(say: Say) -> str:
    exists, _, _ = attempt(["podman", "image", "exists", BASE], timeout=60)
    if exists == 0:
        return BASE
    # Asking for the manifest tells in seconds whether a registry answers; the pull may then take its time.
    answers, _, _ = attempt(["podman", "manifest", "inspect", REGISTRY_BASE], timeout=REGISTRY_SECONDS)
    if answers == 0:
        say(f"pulling {REGISTRY_BASE}")
        run(["podman", "pull", "--quiet", REGISTRY_BASE], timeout=PULL_SECONDS, what=f"pulling {REGISTRY_BASE}")
        return REGISTRY_BASE
    say("no container registry answers: making a Debian base with debootstrap (about a minute)")
    if os.geteuid() != 0:
        raise DemoError(
            f"no registry answers for {REGISTRY_BASE}, and a base without one needs root: run `make demo` as root, "
            f"or load an image named {BASE} with python3-venv"
        )
    debian.bootstrap(BASE, ("python3", "python3-venv", "ca-certificates"))
    return BASE
