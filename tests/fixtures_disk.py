"""A disk of a hundred megabytes that a test can really fill."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NO_MOUNT = "QB_TEST_NO_MOUNT"
SIZE = "112m"


@dataclass
class Disk:
    """A file system of its own under `path`."""

    path: Path

    @property
    def free(self) -> int:
        """Bytes that are left."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all room but `leave` bytes."""
        with (self.path / "filler").open("ab", buffering=0) as filler:
            while (room := self.free - leave) > 0:
                filler.write(bytes(min(room, 1 << 20)))

    def release(self) -> None:
        """Give the room back."""
        (self.path / "filler").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A mounted tmpfs. It fails where mounting is not allowed, unless QB_TEST_NO_MOUNT=1."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.environ.get(NO_MOUNT) == "1":
        pytest.skip(f"{NO_MOUNT}=1: no disk is mounted to be filled")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.fail(f"cannot mount a small disk (root may; {NO_MOUNT}=1 goes without): {done.stderr.strip()}")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], timeout=30, check=True)
