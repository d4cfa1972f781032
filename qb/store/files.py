"""Uploads, the files of tasks and the artifacts that they leave: names and checksums; the bytes are blobs on disk."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_ADD_UPLOAD = """
INSERT INTO uploads (filename, original_name, checksum, size, created_by, created_by_key, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_UPLOAD = "SELECT * FROM uploads WHERE filename = :filename AND (:owner IS NULL OR created_by_key = :owner)"
_ADD_FILE = "INSERT INTO task_files (task_id, name, position, checksum, size) VALUES (?, ?, ?, ?, ?)"
_TASK_FILES = "SELECT name, checksum, size FROM task_files WHERE task_id = ? ORDER BY position"
_LIVE_FILE = """
SELECT f.name, f.checksum, f.size FROM tasks t INDEXED BY tasks_held JOIN task_files f ON f.task_id = t.id
WHERE t.assigned_node_id = :node_id AND t.lease_expires_at IS NOT NULL AND f.name = :name
    AND (:task_id IS NULL OR t.id = :task_id)
ORDER BY t.assigned_at DESC LIMIT 1
"""
_PUT_ARTIFACT = """
INSERT INTO artifacts (task_id, name, attempt, checksum, size, created_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (task_id, name) DO UPDATE SET
    attempt = excluded.attempt, checksum = excluded.checksum, size = excluded.size, created_at = excluded.created_at
"""
_ARTIFACTS = """
SELECT name, size, checksum, created_at, attempt FROM artifacts WHERE task_id = ? AND name > ? ORDER BY name LIMIT ?
"""
_ARTIFACT = "SELECT name, checksum, size FROM artifacts WHERE task_id = ? AND name = ?"
_ARTIFACTS_SIZE = "SELECT coalesce(sum(size), 0) FROM artifacts WHERE task_id = ? AND name <> ?"
_EXPIRE = """
DELETE FROM uploads WHERE filename IN (
    SELECT u.filename FROM uploads u
    WHERE u.created_at < ? AND NOT EXISTS (SELECT 1 FROM task_files f WHERE f.checksum = u.checksum) LIMIT ?
)
"""
_UNREFERENCED = """
SELECT value AS checksum FROM json_each(?) AS given
WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE checksum = given.value)
    AND NOT EXISTS (SELECT 1 FROM task_files WHERE checksum = given.value)
    AND NOT EXISTS (SELECT 1 FROM artifacts WHERE checksum = given.value)
"""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A name and the blob it stands for; `checksum` is SHA-256 in lower-case hex, `size` in bytes."""

    name: str
    checksum: str
    size: int


def add_upload(
    db: sqlite3.Connection, filename: str, file: StoredFile, *, by: str, key_id: str | None, now: str
) -> None:
    """Remember an upload under the name by which tasks will ask for it."""
    db.execute(_ADD_UPLOAD, (filename, file.name, file.checksum, file.size, by, key_id, now))


def upload(db: sqlite3.Connection, filename: str, *, owner: str | None = None) -> StoredFile | None:
    """The upload of that name (of the key `owner`), under its own name, or None."""
    row = db.execute(_UPLOAD, {"filename": filename, "owner": owner}).fetchone()
    return None if row is None else StoredFile(row["original_name"], row["checksum"], row["size"])


def add_task_files(db: sqlite3.Connection, task_id: str, files: Sequence[StoredFile]) -> None:
    """Attach files to a task, in order."""
    rows = [(task_id, file.name, position, file.checksum, file.size) for position, file in enumerate(files)]
    db.executemany(_ADD_FILE, rows)


def task_files(db: sqlite3.Connection, task_id: str) -> list[StoredFile]:
    """The files attached to a task, in order."""
    return [StoredFile(*row) for row in db.execute(_TASK_FILES, (task_id,))]


def live_file(db: sqlite3.Connection, node_id: str, name: str, task_id: str | None = None) -> StoredFile | None:
    """The file of that name of a task that the node holds now (of the newest, or of `task_id`), or None."""
    row = db.execute(_LIVE_FILE, {"node_id": node_id, "name": name, "task_id": task_id}).fetchone()
    return None if row is None else StoredFile(row["name"], row["checksum"], row["size"])


def put_artifact(db: sqlite3.Connection, task_id: str, attempt: int, file: StoredFile, *, now: str) -> None:
    """Keep an artifact; one of the same name is replaced."""
    db.execute(_PUT_ARTIFACT, (task_id, file.name, attempt, file.checksum, file.size, now))


def artifacts(db: sqlite3.Connection, task_id: str, *, after: str, limit: int) -> list[dict[str, Any]]:
    """The task's artifacts by name, those after the name `after`, in the shape of Artifact."""
    return [dict(row) for row in db.execute(_ARTIFACTS, (task_id, after, limit))]


def artifact(db: sqlite3.Connection, task_id: str, name: str) -> StoredFile | None:
    """One artifact, or None."""
    row = db.execute(_ARTIFACT, (task_id, name)).fetchone()
    return None if row is None else StoredFile(row["name"], row["checksum"], row["size"])


def artifacts_size(db: sqlite3.Connection, task_id: str, *, but: str) -> int:
    """Bytes of the task's artifacts, without the one named `but`."""
    return int(db.execute(_ARTIFACTS_SIZE, (task_id, but)).fetchone()[0])


def expire_uploads(db: sqlite3.Connection, *, before: str, limit: int) -> int:
    """Forget uploads sent before `before` whose bytes no task has, at most `limit`; returns how many."""
    return db.execute(_EXPIRE, (before, limit)).rowcount


def unreferenced(db: sqlite3.Connection, checksums: Sequence[str]) -> list[str]:
    """Those of `checksums` that no upload, no task's file and no artifact has."""
    return [row["checksum"] for row in db.execute(_UNREFERENCED, (json.dumps(checksums),))]
