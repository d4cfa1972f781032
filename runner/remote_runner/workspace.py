"""A task's folder in the Victoria home, which containers can write to.

A container may have put a link where a folder was, so every step goes down one folder at a time and follows
no link.
"""

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qb.contract.text import FILE_NAME_BYTES

TASKS = "tasks"
INSIDE = "/workspace/Victoria"
"""Where containers see the Victoria home."""

MOST_ARTIFACTS = 1000
BLOCK = 512
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f]|[\ud800-\udfff]")


class Workspace:
    """The tasks' folders under `home`. Raises OSError."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def inside(self, task: str, folder: str) -> str:
        """The path of a task's `files` or `out` as the container sees it."""
        return f"{INSIDE}/{TASKS}/{task}/{folder}"

    def prepare(self, task: str) -> None:
        """Make the task's folder with an empty `files` and an empty `out`."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.remove(task)
        with self._folder(TASKS, task, make=True) as fd:
            os.mkdir("files", 0o755, dir_fd=fd)
            os.mkdir("out", dir_fd=fd)
            # an image may run as a user of its own, who must be able to write here
            os.chmod("out", 0o777, dir_fd=fd)  # noqa: S103

    @contextlib.contextmanager
    def new_file(self, task: str, name: str) -> Iterator[BinaryIO]:
        """A fresh file in the task's `files`."""
        with self._folder(TASKS, task, "files") as folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            with os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "wb") as file:
                yield file

    def artifacts(self, task: str) -> list[tuple[str, str]]:
        """What lies in `out`: (path within it, name to send it under), links and devices left out."""
        paths: list[str] = []
        try:
            with self._folder(TASKS, task, "out") as out:
                for folder, _, files, fd in os.fwalk(".", dir_fd=out):
                    paths += [
                        os.path.normpath(f"{folder}/{name}")
                        for name in files
                        if stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
                    ]
                    if len(paths) >= MOST_ARTIFACTS:
                        break
        except (FileNotFoundError, NotADirectoryError):
            return []
        return _named(sorted(paths)[:MOST_ARTIFACTS])

    @contextlib.contextmanager
    def artifact(self, task: str, path: str) -> Iterator[BinaryIO]:
        """Open one of them; raises OSError when it is no plain file any more."""
        with self.plain_file(TASKS, task, "out", *path.split("/")) as file:
            yield file

    def size(self, task: str) -> int:
        """Bytes on disk of what lies in `out`."""
        total = 0
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._folder(TASKS, task, "out") as out:
            for _, _, files, fd in os.fwalk(".", dir_fd=out):
                for name in files:
                    with contextlib.suppress(FileNotFoundError):
                        total += os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks * BLOCK
        return total

    @contextlib.contextmanager
    def plain_file(self, *parts: str) -> Iterator[BinaryIO]:
        """Open a file below the home; raises OSError when it, or a folder on the way, is none."""
        *folders, name = parts
        with self._folder(*folders) as folder:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise OSError(f"{'/'.join(parts)} is not a plain file")
                yield file

    def remove(self, task: str) -> None:
        """Take the task's folder away."""
        with contextlib.suppress(FileNotFoundError), self._folder(TASKS) as tasks:
            try:
                shutil.rmtree(task, dir_fd=tasks)
            except OSError:
                # a link is no folder: rmtree refuses it, and unlink takes it
                os.unlink(task, dir_fd=tasks)

    @contextlib.contextmanager
    def _folder(self, *parts: str, make: bool = False) -> Iterator[int]:
        fd = os.open(self.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=fd)
                below = os.open(part, _DIR, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def _named(paths: list[str]) -> list[tuple[str, str]]:
    taken: set[str] = set()
    named = []
    for path in paths:
        plain = _UNSAFE.sub("_", path).replace("/", "__")
        name, count = _short(plain), 1
        while name in taken:
            count += 1
            stem, dot, suffix = plain.rpartition(".")
            name = _short(f"{stem or suffix}-{count}{dot if stem else ''}{suffix if stem else ''}")
        taken.add(name)
        named.append((path, name))
    return named


def _short(name: str) -> str:
    while len(name.encode()) > FILE_NAME_BYTES:
        name = name[1:]
    return name
