"""A Debian image without a registry: debootstrap from the mirror that this machine's own apt uses."""

import platform
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qb.demo.command import run

SUITE = "bookworm"


def bootstrap(image: str, packages: Sequence[str]) -> None:
    """Make `image`, the smallest Debian with `packages`; takes a minute or two, and root. Raises DemoError."""
    if shutil.which("debootstrap") is None:
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], timeout=300, what="apt-get update", env=env)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap"]
        run(install, timeout=300, what="installing debootstrap", env=env)
    with tempfile.TemporaryDirectory(prefix="qb-base-", dir="/var/tmp") as folder:
        rootfs, archive = Path(folder) / "root", Path(folder) / "base.tar"
        include = f"--include={','.join(packages)}"
        command = ["debootstrap", "--variant=minbase", include, SUITE, str(rootfs), *_mirror()]
        run(command, timeout=900, what="debootstrap")
        run(["tar", "-C", str(rootfs), "-cf", str(archive), "."], timeout=120, what="packing the base")
        run(["podman", "import", "--quiet", str(archive), image], timeout=180, what="importing the base")


def _mirror() -> list[str]:
    """The mirror that this machine's own apt uses; debootstrap's default when it names none, or isn't Debian's."""
    if platform.freedesktop_os_release().get("ID") != "debian":
        return []
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if sources.is_file():
        found = re.search(r"^URIs:\s*(\S+)", sources.read_text("utf-8"), re.MULTILINE)
        if found:
            return [found[1]]
    classic = Path("/etc/apt/sources.list")
    if classic.is_file():
        found = re.search(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)", classic.read_text("utf-8"), re.MULTILINE)
        if found:
            return [found[1]]
    return []
