"""Keeps the hardware address of the bridge that a container is on.

A bridge has the lowest address of its ports until it is given one of its own (Linux: br_stp_recalculate_bridge_id), so
that it changes when the container with that port leaves. The others send to the old one until they ask anew: for up to
a minute their agents reach nothing. netavark 1.4, Debian 12's, gives bridges none.
"""

import os
import subprocess
from pathlib import Path

import structlog

HOST = Path("/sys/class/net")
GIVEN = "3"
"""NET_ADDR_SET, in addr_assign_type."""
SECONDS = 60

log = structlog.get_logger()


def keep_address(pid: int) -> None:
    """Give the bridges of the process `pid`, which is in a network of its own, the address that they have.

    What cannot be done is logged: the container works without. A rootless container's network is of another kind.
    """
    if os.getuid():
        return
    for bridge in _bridges(pid):
        address = _read(bridge / "address")
        if not address or _read(bridge / "addr_assign_type") == GIVEN:
            continue
        command = ["ip", "link", "set", "dev", bridge.name, "address", address]
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("a bridge may change its address under its containers", bridge=bridge.name, error=str(error))


def _bridges(pid: int) -> set[Path]:
    """The bridges to which the other ends of its interfaces belong."""
    theirs = {_read(link) for link in Path(f"/proc/{pid}/root{HOST}").glob("*/iflink")} - {""}
    ends = [link.parent for link in HOST.glob("*/ifindex") if _read(link) in theirs]
    return {(end / "master").resolve() for end in ends if (end / "master").is_symlink()}


def _read(file: Path) -> str:
    """What the kernel says there; "" of an interface that is going just now."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
