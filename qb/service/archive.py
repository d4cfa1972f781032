"""Where a backup is written to and read from: a directory or a .tar, with a manifest of every file's SHA-256."""

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from qb.domain.errors import ChecksumMismatch, Conflict, Invalid
from qb.service import datadir

MANIFEST = "manifest.json"
FORMAT = 1
CHUNK = 1 << 20
ACCOUNTS = "dashboard/accounts.json"
"""Who may sign in to the dashboard with a password; missing where nobody may."""
_NAME = re.compile(rf"qb\.db|keys\.db|secret|{re.escape(ACCOUNTS)}|blobs/[0-9a-f]{{2}}/[0-9a-f]{{64}}")
_TAR = (".tar",)


class Target(Protocol):
    """Takes files in; `put` reads `source` once and returns nothing."""

    def put(self, name: str, source: BinaryIO, size: int) -> None: ...


class _Folder:
    def __init__(self, place: Path) -> None:
        self._place = place

    def put(self, name: str, source: BinaryIO, size: int) -> None:
        path = self._place / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as made:
            shutil.copyfileobj(source, made, CHUNK)
            made.flush()
            os.fsync(made.fileno())


class _Tar:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def put(self, name: str, source: BinaryIO, size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._tar.addfile(entry, source)


class _Hashing(io.RawIOBase):
    """Reads from a file and hashes what is read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self.sha256.update(chunk)
        return chunk


class Writing:
    """A backup that is being made."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.files: dict[str, dict[str, object]] = {}

    def add(self, name: str, path: Path) -> str:
        """Take a file in under `name`; returns its SHA-256."""
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            hashing = _Hashing(source)
            self._target.put(name, hashing, size)  # type: ignore[arg-type]
        checksum = hashing.sha256.hexdigest()
        self.files[name] = {"sha256": checksum, "size": size}
        return checksum

    def finish(self, **facts: object) -> None:
        """Write the manifest: last, so that a backup without one is none."""
        text = json.dumps({"format": FORMAT, **facts, "files": self.files}, indent=1).encode()
        self._target.put(MANIFEST, io.BytesIO(text), len(text))


@contextmanager
def writing(target: Path) -> Iterator[Writing]:
    """Make a backup at `target`, a directory or (by its name) a .tar; it appears when the block ends well.

    Raises Conflict when something is there.
    """
    if target.exists():
        raise Conflict(f"{target} exists already: name a new place for the backup")
    draft = target.with_name(f".{target.name}.partial")
    _remove(draft)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if target.suffix in _TAR:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as out, tarfile.open(fileobj=out, mode="w|") as tar:
                yield Writing(_Tar(tar))
            datadir.sync(draft)
        else:
            draft.mkdir(mode=0o700)
            yield Writing(_Folder(draft))
        draft.rename(target)
        datadir.sync(target.parent)
    finally:
        _remove(draft)


def unpack(source: Path, place: Path) -> dict[str, object]:
    """Copy a backup's files into `place` and hold each against the manifest; returns the manifest.

    Raises Invalid for what is no backup, ChecksumMismatch for a file that is missing, too many, or not what it was.
    """
    if source.is_dir():
        found = _copy_folder(source, place)
    elif tarfile.is_tarfile(source):
        found = _copy_tar(source, place)
    else:
        raise Invalid(f"{source} is no backup: name a directory or a .tar that `qb db backup` made")
    manifest = _manifest(place / MANIFEST, source)
    (place / MANIFEST).unlink()
    expected = {name: str(entry["sha256"]) for name, entry in manifest["files"].items()}  # type: ignore[attr-defined]
    if found != expected:
        odd = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        raise ChecksumMismatch(
            f"{source} is damaged: {', '.join(odd[:3])} is not what the manifest says; take another backup"
        )
    return manifest


def _copy_folder(source: Path, place: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(source.rglob("*")):
        if path.is_file():
            name = path.relative_to(source).as_posix()
            with path.open("rb") as content:
                _take(name, content, place, found)
    return found


def _copy_tar(source: Path, place: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with tarfile.open(source) as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                if content is not None:
                    _take(entry.name, content, place, found)  # type: ignore[arg-type]
    except tarfile.TarError as error:
        raise ChecksumMismatch(f"{source} is damaged ({error}): take another backup") from error
    return found


def _take(name: str, content: BinaryIO, place: Path, found: dict[str, str]) -> None:
    if name != MANIFEST and not _NAME.fullmatch(name):
        raise Invalid(f"the backup holds {name[:100]!r}, which no backup has: take another one")
    hashing = _Hashing(content)
    _Folder(place).put(name, hashing, 0)  # type: ignore[arg-type]
    if name != MANIFEST:
        found[name] = hashing.sha256.hexdigest()


def _manifest(path: Path, source: Path) -> dict[str, object]:
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise Invalid(f"{source} has no {MANIFEST}: it is no backup, or one that was not finished") from error
    except ValueError as error:
        raise ChecksumMismatch(f"{source} is damaged: its {MANIFEST} cannot be read; take another backup") from error
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or not isinstance(manifest.get("files"), dict)
    ):
        raise Invalid(f"{source} is a backup of another format than {FORMAT}: restore it with the release that made it")
    return manifest


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
