"""Reads the log that conmon writes for a container, from where the last reader stopped.

Each line is ``TIME STREAM F|P TEXT``: F ends a line of the container's, P is a part of one. conmon starts a
new file under the same name when one grows past its limit.
"""

import codecs
import json
import os
from pathlib import Path

from qb.contract.states import Stream
from remote_runner.records import Piece

READ = 1 << 20
PIECE_CHARS = 64 << 10


class ContainerLog:
    """The log at `path`, read from `position` (what `position` said earlier, or empty)."""

    def __init__(self, path: Path, position: str = "") -> None:
        self._path = path
        self._fd = -1
        self._inode, self._offset = 0, 0
        self.gap = False
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in Stream}
        if position:
            self._inode, self._offset, carry = json.loads(position)
            for stream, held in carry.items():
                self._decoders[Stream(stream)].setstate((bytes.fromhex(held), 0))

    @property
    def position(self) -> str:
        """Where to go on: file, offset, and the bytes of characters seen only in part."""
        carry = {stream: decoder.getstate()[0].hex() for stream, decoder in self._decoders.items()}
        return json.dumps([self._inode, self._offset, {s: held for s, held in carry.items() if held}])

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self) -> list[Piece]:
        """What came since, at most about 1 MiB; empty when there is nothing new."""
        if self._fd < 0 and not self._open():
            return []
        data = self._next_lines()
        if not data and self._rotated() and self._open():
            data = self._next_lines()
        self._offset += len(data)
        return self._pieces(data)

    def skip(self) -> int:
        """Pass over what came since; returns how many bytes."""
        if self._fd < 0 and not self._open():
            return 0
        data = self._next_lines()
        if not data and self._rotated() and self._open():
            data = self._next_lines()
        self._offset += len(data)
        return len(data)

    def _open(self) -> bool:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        found = os.fstat(fd)
        if found.st_ino != self._inode or found.st_size < self._offset:
            # nobody read the earlier file to its end, unless it is still open here
            self.gap = self.gap or bool(self._inode and self._fd < 0)
            self._inode, self._offset = found.st_ino, 0
        self.close()
        self._fd = fd
        return True

    def _rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False

    def _next_lines(self) -> bytes:
        data = os.pread(self._fd, READ, self._offset)
        return data[: data.rfind(b"\n") + 1] if len(data) < READ else data[: data.rfind(b"\n") + 1] or data

    def _pieces(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        run: list[str] = []
        stream, at, size = Stream.STDOUT, "", 0
        for line in data.split(b"\n")[:-1]:
            now, source, text = self._parse(line)
            if run and (source is not stream or size + len(text) > PIECE_CHARS):
                pieces.append(Piece(stream, at, "".join(run)))
                run, size = [], 0
            if not text:
                continue
            if not run:
                stream, at = source, now
            run.append(text)
            size += len(text)
        if run:
            pieces.append(Piece(stream, at, "".join(run)))
        return pieces

    def _parse(self, line: bytes) -> tuple[str, Stream, str]:
        parts = line.split(b" ", 3)
        if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
            return "", Stream.STDOUT, ""
        stream = Stream(parts[1].decode())
        whole = parts[3] + b"\n" if parts[2].startswith(b"F") else parts[3]
        return parts[0].decode("ascii", "replace")[:64], stream, self._decoders[stream].decode(whole)
