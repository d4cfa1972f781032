"""Look a data directory over: is the database sound, are the blobs what they are called, do the rows agree?"""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from qb.domain.errors import NotFound
from qb.store import copies
from qb.store.database import connect

SHOWN = 20


@dataclass(slots=True)
class Findings:
    """`problems` want a mend; `notes` do not. `tasks` and `blobs` say how much was looked at."""

    tasks: int = 0
    blobs: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(data_dir: Path) -> Findings:
    """Look at everything; changes nothing, and the server may run meanwhile. Raises NotFound without a database."""
    found = Findings()
    for part in ("qb.db", "keys.db"):
        if not (data_dir / part).is_file():
            raise NotFound(f"{data_dir} holds no {part}: name the data directory of a control plane")
        try:
            with closing(connect(data_dir / part, read_only=True)) as db:
                found.problems += [f"{part}: {each}" for each in copies.damage(db)]
                if part == "qb.db":
                    found.tasks = copies.tasks(db)
                    found.problems += copies.contradictions(db)
                    wanted = copies.blobs(db)
        except sqlite3.Error as error:
            found.problems.append(f"{part} cannot be read: {error}")
            wanted = []
    if not (data_dir / "secret").is_file():
        found.problems.append("the secret is missing: every node key and task token depends on it")
    _check_blobs(data_dir / "blobs", wanted, found)
    return found


def _check_blobs(folder: Path, wanted: list[str], found: Findings) -> None:
    there = {path.name: path for path in folder.glob("??/*") if path.is_file()}
    found.blobs = len(there)
    missing = [checksum for checksum in wanted if checksum not in there]
    found.problems += [f"blob {checksum} is missing" for checksum in missing[:SHOWN]]
    if len(missing) > SHOWN:
        found.problems.append(f"{len(missing) - SHOWN} more blobs are missing")
    for checksum, path in sorted(there.items()):
        with path.open("rb") as blob:
            if hashlib.file_digest(blob, "sha256").hexdigest() != checksum:
                found.problems.append(f"blob {checksum} is damaged: its bytes have another SHA-256")
    orphans = there.keys() - set(wanted)
    if orphans:
        found.notes.append(f"{len(orphans)} blobs belong to nothing: the server collects them by itself")
