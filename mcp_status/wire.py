"""Stdin and stdout of the process, claimed for the protocol before anything else can read or write there."""

import io
import json
import logging
import os
from typing import TextIO

from mcp_status.greeting import Greeting, greet

MOST_FIRST = 1 << 16
"""Bytes of a first message that may be answered early."""

STDIN, STDOUT, STDERR = 0, 1, 2

_log = logging.getLogger("mcp_status")


class Wire:
    """The two ends. From now on, what is printed goes to stderr, and child processes read nothing of the client's."""

    def __init__(self) -> None:
        self._in = _moved(STDIN)
        self._out = _moved(STDOUT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, STDIN)
        os.close(nothing)
        os.dup2(STDERR, STDOUT)
        self._read = b""
        self._greeting: Greeting | None = None

    def greet(self) -> None:
        """Wait for the client's first message, and answer it where that needs no SDK."""
        while b"\n" not in self._read and len(self._read) < MOST_FIRST:
            some = os.read(self._in, MOST_FIRST)
            if not some:
                return
            self._read += some
        self._greeting = greet(self._read.partition(b"\n")[0])
        if self._greeting is not None:
            os.write(self._out, self._greeting.line)

    def streams(self) -> tuple[TextIO, TextIO]:
        """What the SDK reads, from the first message on, and where it writes."""
        source = io.BufferedReader(_From(self._read, self._in))
        sink = io.FileIO(self._out, "wb", closefd=False)
        return (
            io.TextIOWrapper(source, encoding="utf-8", errors="replace"),
            _To(io.BufferedWriter(sink), self._greeting),
        )


def _moved(fd: int) -> int:
    """A duplicate of `fd`, which no child inherits, beyond the standard three."""
    copy = os.dup(fd)
    if copy > STDERR:
        return copy
    try:
        return _moved(fd)
    finally:
        os.close(copy)


class _From(io.RawIOBase):
    """What has been read already, then what the descriptor holds."""

    def __init__(self, already: bytes, fd: int) -> None:
        self._already = already
        self._fd = fd

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self._already or os.read(self._fd, len(buffer))
        taken = min(len(data), len(buffer))
        buffer[:taken] = data[:taken]
        self._already = self._already[taken:]
        return taken


class _To(io.TextIOWrapper):
    """Holds back the one reply that the client has had already."""

    def __init__(self, sink: io.BufferedWriter, greeting: Greeting | None) -> None:
        super().__init__(sink, encoding="utf-8")
        self._greeting = greeting

    def write(self, text: str, /) -> int:
        """As a text stream has it: one message at a time."""
        if self._greeting is not None:
            message = json.loads(text)
            if message.get("id") == self._greeting.id:
                if message != json.loads(self._greeting.line):
                    _log.warning("the client was greeted otherwise than by the MCP SDK: %.500s", text)
                self._greeting = None
                return len(text)
        return super().write(text)
