"""Connections to qb.db: one writer thread that commits in groups, and read-only connections for reads."""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from qb.domain.errors import Overloaded, StorageFull
from qb.store.checkpoints import Checkpoints

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
QUEUE_LIMIT = 20_000
GROUP_LIMIT = 512
BULK_ROWS = 2_000
"""Rows of large works in one group: some 10 ms, which is what a claim may have to wait for them."""

CHECKPOINT_PAGES = 1_000
_FULL = "database or disk is full"


def connect(path: Path, *, read_only: bool = False, secure_delete: bool = False) -> sqlite3.Connection:
    """Open `path`; the caller closes it. Rows can be read by name; transactions are explicit.

    With `secure_delete` what is deleted is overwritten.
    """
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    pragmas = ["foreign_keys = ON", "synchronous = FULL", "temp_store = MEMORY", "cache_size = -8192"]
    # Only the writer checkpoints: before SQLite 3.51.3 two connections doing so at once could corrupt.
    pragmas.append("query_only = ON" if read_only else f"wal_autocheckpoint = {CHECKPOINT_PAGES}")
    if read_only:
        pragmas.append("wal_autocheckpoint = 0")
    if secure_delete:
        pragmas.append("secure_delete = ON")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


class Job:
    """One caller's work and the future that waits for it."""

    __slots__ = ("error", "future", "result", "rows", "work")

    def __init__(self, work: Work[Any], future: "asyncio.Future[Any]", rows: int) -> None:
        self.work = work
        self.rows = rows
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """The only writer of qb.db (another one, of keys.db): drains its queue, one BEGIN IMMEDIATE, all works, one COMMIT.

    A reply is given after the fsynced commit. Works that fail are rare and mostly fail before they write, so a
    group runs without savepoints at first, and once more with one for each work when one fails half-way: a work may
    run twice, and must leave nothing behind but rows. Created and closed on the event loop's thread. `checkpoints`
    False leaves the write-ahead log to somebody else, who must be the only one.
    """

    def __init__(
        self,
        path: Path,
        *,
        queue_limit: int = QUEUE_LIMIT,
        secure_delete: bool = False,
        checkpoints: bool = True,
    ) -> None:
        self._path = path
        self._limit = queue_limit
        self._queue: deque[Job] = deque()
        self._bulk: deque[Job] = deque()
        self._ready = threading.Event()
        self._closing = False
        self._called = False
        self._loop = asyncio.get_running_loop()
        self.groups = 0
        self.jobs = 0
        self.sizes = [0] * (GROUP_LIMIT.bit_length() + 1)
        """Groups by the power of two that their size is below."""
        self._connection = connect(path, secure_delete=secure_delete)
        self._checkpoints = Checkpoints(self._connection, path) if checkpoints else None
        if not checkpoints:
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._thread = threading.Thread(target=self._main, name="qb-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T], *, rows: int = 0) -> T:
        """Do `work` in the next group; return its result once it is durable.

        A work that writes many `rows` says so: short works go before it, and a group takes only so many rows.

        Raises what `work` raised (its changes are undone, those of others are not), Overloaded when the queue
        is full, StorageFull when the disk is.
        """
        if self._closing:
            raise Overloaded("the server is stopping: send the request again")
        if self.waiting >= self._limit:
            raise Overloaded("too many writes are waiting: send the request again in a second")
        future: asyncio.Future[T] = self._loop.create_future()
        (self._bulk if rows else self._queue).append(Job(work, future, rows))
        if not self._called:
            # Not at once: what other requests of this turn of the loop bring goes into the same group.
            self._called = True
            self._loop.call_soon(self._call)
        return await future

    @property
    def waiting(self) -> int:
        """How many works wait for the next group."""
        return len(self._queue) + len(self._bulk)

    def _call(self) -> None:
        self._called = False
        self._ready.set()

    def close(self) -> None:
        """Finish what is queued, then let go of the database."""
        self._closing = True
        self._ready.set()
        self._thread.join(timeout=30)
        if self._checkpoints:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _main(self) -> None:
        wait: float | None = None
        while True:
            self._ready.wait(wait)
            self._ready.clear()
            while group := self._next():
                self._commit(group)
                self._loop.call_soon_threadsafe(_resolve, group)
                self._look_at_log()
            wait = self._look_at_log()
            if self._closing:
                return

    def _look_at_log(self) -> float | None:
        return self._checkpoints.look() if self._checkpoints else None

    def _next(self) -> list[Job]:
        group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_LIMIT))]
        rows = 0
        while self._bulk and rows < BULK_ROWS and len(group) <= GROUP_LIMIT:
            job = self._bulk.popleft()
            rows += job.rows
            group.append(job)
        return group

    def _commit(self, group: list[Job]) -> None:
        self.groups += 1
        self.jobs += len(group)
        self.sizes[len(group).bit_length()] += 1
        try:
            if not self._together(group):
                self._apart(group)
        except sqlite3.Error as error:
            self._roll_back()
            for job in group:
                job.error = _storage(error)

    def _together(self, group: list[Job]) -> bool:
        """The quick way; False when a work failed half-way and all is undone."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            before = connection.total_changes
            try:
                job.result = job.work(connection)
            except Exception as error:  # noqa: BLE001 - handed to the caller as it is
                if not connection.in_transaction or connection.total_changes != before:
                    self._roll_back()
                    return False
                job.error = _storage(error)
        connection.execute("COMMIT")
        return True

    def _apart(self, group: list[Job]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            job.result = job.error = None
            self._work(job)
        connection.execute("COMMIT")

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def _work(self, job: Job) -> None:
        connection = self._connection
        connection.execute("SAVEPOINT work")
        try:
            job.result = job.work(connection)
        except Exception as error:
            if not connection.in_transaction:
                # SQLite gave the whole transaction up (disk full): the group fails together
                raise sqlite3.OperationalError(str(error)) from error
            connection.execute("ROLLBACK TO work")
            job.error = _storage(error)
        connection.execute("RELEASE work")


def _storage(error: Exception) -> Exception:
    if isinstance(error, sqlite3.OperationalError) and _FULL in str(error):
        return StorageFull("the disk is full: nothing was stored; free space and send the request again")
    return error


def _resolve(group: list[Job]) -> None:
    for job in group:
        if job.future.done():
            continue  # the caller has gone away; its work stands
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


class Readers:
    """A few threads with a read-only connection each."""

    def __init__(self, path: Path, *, threads: int = 3) -> None:
        self._path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="qb-reader")
        self._closed = False

    async def run(self, read: Work[T]) -> T:
        """Do `read` on a read-only connection; it sees everything committed so far. Raises Overloaded once closed."""
        if self._closed:
            raise Overloaded("the server is stopping: send the request again")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, read)

    def close(self) -> None:
        """Wait for running reads, then let go of the database."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._open:
            connection.close()

    def _read(self, read: Work[T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._open.append(connection)
        return read(connection)
