"""Tells systemd how the service is: the few datagrams of sd_notify(3). Without systemd it does nothing."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

WATCHDOG_FRACTION = 3
"""A sign of life this many times within systemd's watchdog interval."""


class Notifier:
    """Speaks to $NOTIFY_SOCKET. `watchdog_seconds` is how often to call `alive`, None when nobody asks for it."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(usec) / 1e6 / WATCHDOG_FRACTION if usec.isdigit() and ours else None

    def ready(self) -> None:
        """The service does its work now."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The service takes its configuration anew; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, seconds: float) -> None:
        """The service is about to end, and may take so long."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((seconds + 5) * 1e6)}")

    def alive(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; the same line again is not sent."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
            contextlib.suppress(OSError),
        ):
            out.settimeout(1)
            out.sendto(message.encode(), self._address)
