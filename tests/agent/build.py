"""Build the image of the real agent: the demo's, which has our status reporter, and opencode from npm."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from qb.demo import image as demo
from qb.demo.command import attempt, run
from qb.demo.errors import DemoError

IMAGE = "localhost/qb-opencode-agent:latest"
HERE = Path(__file__).parent / "image"
LABEL = "qb.inputs"


def build() -> str:
    """The image's name; built only when what goes into it has changed. Raises DemoError."""
    base = demo.build(print)
    found = run(["podman", "image", "inspect", base, "--format", "{{.Id}}"], timeout=60, what="looking at the base")
    inputs = _fingerprint(found.strip())
    label = ["podman", "image", "inspect", IMAGE, "--format", f'{{{{index .Labels "{LABEL}"}}}}']
    status, known, _ = attempt(label, timeout=60)
    if status == 0 and known.strip() == inputs:
        return IMAGE
    with tempfile.TemporaryDirectory(prefix="qb-opencode-") as folder:
        context = Path(folder)
        for path in HERE.iterdir():
            shutil.copy(path, context)
        _fetch(context)
        command = ["podman", "build", "--quiet", "--tag", IMAGE, "--label", f"{LABEL}={inputs}"]
        command += ["--build-arg", f"BASE={found.strip()}", str(context)]
        run(command, timeout=300, what="building the agent's image")
    return IMAGE


def _fetch(context: Path) -> None:
    """Put the agent's binary, whose checksum the lock file has, into the context."""
    if shutil.which("npm") is None:
        _install_npm()
    run(["npm", "ci", "--no-audit", "--no-fund", "--prefix", str(context)], timeout=300, what="npm ci")
    (binary,) = (context / "node_modules").glob("*/bin/opencode")
    binary.rename(context / "opencode")
    shutil.rmtree(context / "node_modules")


def _install_npm() -> None:
    if os.geteuid() != 0:
        raise DemoError("npm is not installed, and the agent comes from there: `apt-get install npm` as root")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], timeout=300, what="apt-get update", env=env)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "npm"]
    run(install, timeout=600, what="installing npm", env=env)


def _fingerprint(base: str) -> str:
    digest = hashlib.sha256(base.encode())
    for path in sorted(HERE.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
