"""What this runner has promised and done, on disk before it is done: attempts, and the outbox of reports.

One connection, shared under a lock; every commit is fsynced, so a runner killed at any instruction finds
here what it must go on with.
"""

import contextlib
import functools
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from qb.contract.logs import SessionUpload
from qb.contract.tasks import Assignment, OutputChunk, StatusReport
from remote_runner.failpoints import around
from remote_runner.journal_file import NoRoom, Reserve, naming_a_full_disk, open_file
from remote_runner.records import Entry, Key, Kind, Letter, Phase, Piece

KEEP_SECONDS = 30 * 24 * 3600
"""How long a settled attempt is remembered, so that a late redelivery is known for a duplicate."""
_P = ParamSpec("_P")


def _surely(write: Callable[Concatenate["Journal", _P], None]) -> Callable[Concatenate["Journal", _P], None]:
    """A write that must not wait: on a full disk it has the room that is kept for it."""

    @functools.wraps(write)
    def written(self: "Journal", /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            write(self, *args, **kwargs)
        except NoRoom:
            self.make_room()
            write(self, *args, **kwargs)

    return written


class Journal:
    """The journal at `path`. Thread-safe. What writes raises NoRoom where the disk is full."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._path = path
        self._reserve = Reserve(path.with_suffix(".reserve"))
        self._db = open_file(path, self._reserve)
        self._reserve.keep()
        (self._spooled,) = self._db.execute("SELECT coalesce(sum(size), 0) FROM outbox").fetchone()

    def close(self) -> None:
        """Close the file; a thread that still writes gets sqlite3.ProgrammingError."""
        with self._lock:
            self._db.close()

    @property
    def spooled(self) -> int:
        """Bytes of output that wait to be sent."""
        return int(self._spooled)

    def intend(self, assignment: Assignment, boot_id: str) -> bool:
        """Record that this attempt will be run; False when it is known already."""
        row = (
            assignment.task_id,
            assignment.attempt,
            Phase.INTENT,
            assignment.model_dump_json(exclude_none=True),
            boot_id,
            self._now(),
        )
        with self._change("journal.intend") as db:
            sql = (
                "INSERT OR IGNORE INTO attempts(task_id, attempt, phase, assignment, boot_id, changed_at) "
                "VALUES (?, ?, ?, ?, ?, ?)"
            )
            return db.execute(sql, row).rowcount == 1

    def refuse(self, assignment: Assignment, boot_id: str, report: StatusReport) -> bool:
        """Record an attempt that is not run, with its verdict; False when it is known already."""
        with self._change("journal.refuse") as db:
            sql = (
                "INSERT OR IGNORE INTO attempts(task_id, attempt, phase, assignment, boot_id, changed_at, swept) "
                "VALUES (?, ?, ?, ?, ?, ?, 1)"
            )
            given = assignment.model_dump_json(exclude_none=True)
            row = (assignment.task_id, assignment.attempt, Phase.EXITED, given, boot_id, self._now())
            if not db.execute(sql, row).rowcount:
                return False
            key = Key(assignment.task_id, assignment.attempt)
            self._post(db, key, Kind.VERDICT, report.model_dump_json(exclude_none=True))
            return True

    def phase(self, key: Key) -> Phase | None:
        """How far the attempt has come; None when it was never here."""
        sql = "SELECT phase FROM attempts WHERE task_id = ? AND attempt = ?"
        row = self._all(sql, (key.task_id, key.attempt))
        return Phase(row[0][0]) if row else None

    def advance(self, key: Key, phase: Phase) -> None:
        """Record the step that is about to be taken."""
        sql = "UPDATE attempts SET phase = ?, changed_at = ? WHERE task_id = ? AND attempt = ?"
        with self._change(f"journal.{phase}") as db:
            db.execute(sql, (phase, self._now(), key.task_id, key.attempt))

    @_surely
    def cancel(self, key: Key) -> None:
        """Record that the operator wants this attempt stopped."""
        sql = "UPDATE attempts SET cancelled = 1 WHERE task_id = ? AND attempt = ?"
        with self._change("journal.cancel") as db:
            db.execute(sql, (key.task_id, key.attempt))

    @_surely
    def exited(self, key: Key, code: int | None) -> None:
        """Record the exit code of a container that is about to be removed before its verdict is taken."""
        sql = "UPDATE attempts SET exit_code = ? WHERE task_id = ? AND attempt = ?"
        with self._change("journal.exited") as db:
            db.execute(sql, (code, key.task_id, key.attempt))

    def unsettled(self) -> list[Entry]:
        """Every attempt whose verdict the orchestrator has not taken, oldest first."""
        sql = (
            "SELECT task_id, attempt, phase, assignment, boot_id, cancelled, position, exit_code FROM attempts "
            "WHERE phase != ? ORDER BY changed_at"
        )
        return [
            Entry(Key(*row[:2]), Phase(row[2]), Assignment.model_validate_json(row[3]), row[4], bool(row[5]), *row[6:])
            for row in self._all(sql, (Phase.REPORTED,))
        ]

    def held(self) -> list[Key]:
        """The attempts this node answers for."""
        sql = "SELECT task_id, attempt FROM attempts WHERE phase != ? ORDER BY changed_at LIMIT 256"
        return [Key(*row) for row in self._all(sql, (Phase.REPORTED,))]

    def spool(self, key: Key, pieces: Sequence[Piece], position: str) -> None:
        """Number the pieces, put them in the outbox and record how far the log was read, all or nothing."""
        with self._change("journal.spool") as db:
            sql = "SELECT output_seq FROM attempts WHERE task_id = ? AND attempt = ?"
            (seq,) = db.execute(sql, (key.task_id, key.attempt)).fetchone()
            for number, piece in enumerate(pieces, seq + 1):
                chunk = OutputChunk(seq=number, stream=piece.stream, at=piece.at, text=piece.text)
                self._post(db, key, Kind.OUTPUT, chunk.model_dump_json())
            db.execute(
                "UPDATE attempts SET position = ?, output_seq = ? WHERE task_id = ? AND attempt = ?",
                (position, seq + len(pieces), key.task_id, key.attempt),
            )

    @_surely
    def mark(self, key: Key, piece: Piece, position: str) -> None:
        """As `spool`, a line that says where output was left out."""
        self.spool(key, [piece], position)

    @_surely
    def finish(
        self,
        key: Key,
        report: StatusReport,
        *,
        sessions: Sequence[SessionUpload] = (),
        artifacts: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Record the exit, and what is to be sent for it: the agent's log, artifacts (path, name), the verdict."""
        with self._change("journal.finish") as db:
            for session in sessions:
                self._post(db, key, Kind.SESSION, session.model_dump_json(exclude_none=True))
            for path, name in artifacts:
                self._post(db, key, Kind.ARTIFACT, json.dumps([path, name]))
            self._post(db, key, Kind.VERDICT, report.model_dump_json(exclude_none=True))
            db.execute(
                "UPDATE attempts SET phase = ?, changed_at = ? WHERE task_id = ? AND attempt = ?",
                (Phase.EXITED, self._now(), key.task_id, key.attempt),
            )

    @_surely
    def settle(self, key: Key) -> None:
        """The attempt is over for the orchestrator: nothing of it is sent any more, its secrets are wiped."""
        with self._change("journal.settle") as db:
            (size,) = db.execute(
                "SELECT coalesce(sum(size), 0) FROM outbox WHERE task_id = ? AND attempt = ?",
                (key.task_id, key.attempt),
            ).fetchone()
            db.execute("DELETE FROM outbox WHERE task_id = ? AND attempt = ?", (key.task_id, key.attempt))
            db.execute(
                "UPDATE attempts SET phase = ?, assignment = '', changed_at = ? WHERE task_id = ? AND attempt = ?",
                (Phase.REPORTED, self._now(), key.task_id, key.attempt),
            )
            self._spooled -= size
        self._reserve.keep()

    def unswept(self, keep: float) -> list[Key]:
        """The attempts settled more than `keep` seconds ago whose workspaces are still there."""
        sql = "SELECT task_id, attempt FROM attempts WHERE phase = ? AND NOT swept AND changed_at < ?"
        return [Key(*row) for row in self._all(sql, (Phase.REPORTED, self._now() - keep))]

    @_surely
    def swept(self, key: Key) -> None:
        """The attempt's workspace is gone."""
        with self._change("journal.swept") as db:
            db.execute("UPDATE attempts SET swept = 1 WHERE task_id = ? AND attempt = ?", (key.task_id, key.attempt))

    def forget(self) -> None:
        """Drop what was settled so long ago that no redelivery can come."""
        sql = "DELETE FROM attempts WHERE phase = ? AND changed_at < ? AND swept"
        with self._change("journal.forget") as db:
            db.execute(sql, (Phase.REPORTED, self._now() - KEEP_SECONDS))

    def senders(self) -> list[Key]:
        """The attempts with something to send, the longest waiting first."""
        sql = "SELECT task_id, attempt FROM outbox GROUP BY task_id, attempt ORDER BY min(id)"
        return [Key(*row) for row in self._all(sql, ())]

    def letters(self, key: Key, *, most: int = 200) -> list[Letter]:
        """The attempt's first letters, in the order they must go: pieces of output, or a single other one."""
        sql = (
            "SELECT id, kind, body, size FROM outbox WHERE task_id = ? AND attempt = ? AND (kind = ? OR id = "
            "(SELECT min(id) FROM outbox WHERE task_id = ? AND attempt = ?)) ORDER BY id LIMIT ?"
        )
        rows = self._all(sql, (key.task_id, key.attempt, Kind.OUTPUT, key.task_id, key.attempt, most))
        return [Letter(row[0], key, Kind(row[1]), row[2], row[3]) for row in rows]

    @_surely
    def sent(self, letters: Sequence[Letter]) -> None:
        """These need not be sent again."""
        with self._change("journal.sent") as db:
            db.executemany("DELETE FROM outbox WHERE id = ?", [(letter.id,) for letter in letters])
            self._spooled -= sum(letter.size for letter in letters)

    def rewrite(self, letters: Sequence[Letter], bodies: Sequence[str]) -> None:
        """Send other bodies in their places."""
        with self._change("journal.sent") as db:
            for letter, body in zip(letters, bodies, strict=True):
                db.execute("UPDATE outbox SET body = ?, size = ? WHERE id = ?", (body, len(body), letter.id))
                self._spooled += len(body) - letter.size

    def _post(self, db: sqlite3.Connection, key: Key, kind: Kind, body: str) -> None:
        size = len(body)
        db.execute(
            "INSERT INTO outbox(task_id, attempt, kind, body, size) VALUES (?, ?, ?, ?, ?)",
            (key.task_id, key.attempt, kind, body, size),
        )
        self._spooled += size

    def _all(self, sql: str, values: Sequence[object]) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def make_room(self) -> None:
        """Give up what is kept for a full disk."""
        self._reserve.give_up()
        with self._lock, contextlib.suppress(sqlite3.OperationalError):
            # what is in the file itself leaves its place in the write-ahead log to others
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextlib.contextmanager
    def _change(self, step: str) -> Iterator[sqlite3.Connection]:
        with around(step), self._lock, naming_a_full_disk(self._path):
            before = self._spooled
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._spooled = before
                # on a full disk SQLite has rolled back by itself
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
