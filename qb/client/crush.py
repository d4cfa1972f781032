"""Reads the transcripts that an agent's Crush keeps: ``.crush/crush.db``, an SQLite file of another program's.

What is read of it::

    sessions(id, parent_session_id, title, prompt_tokens, completion_tokens, cost, created_at, updated_at)
    messages(id, session_id, role, parts, model, provider, created_at, finished_at)

Other columns don't matter, and a missing one among these reads as null, except for the ids. `created_at` of a
session is in seconds (or milliseconds). A session of a sub-agent names its parent; Crush adds its cost to the
parent's, and whoever sums up leaves it out.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from qb.contract.logs import SESSION_ID_CHARS, Session, SessionMessage

DATABASE = ".crush/crush.db"
SESSION_BYTES = 10_000_000
"""Room for one session on the wire: with more, the oldest messages are left out, and a first message says so."""

MOST_SESSIONS = 200
LONGEST_VALUE = 64 << 20
STEPS = 10_000
MILLISECONDS = 10**11
TEXT_CHARS = 4000
_SESSION = "id parent_session_id title prompt_tokens completion_tokens cost created_at updated_at".split()
_MESSAGE = "id role parts model provider created_at finished_at".split()
_SESSIONS = "SELECT {columns} FROM sessions ORDER BY created_at DESC LIMIT 10000"
_NEWEST = "SELECT id FROM sessions ORDER BY created_at DESC LIMIT 5"
_MESSAGES = "SELECT {columns} FROM messages WHERE session_id = ? ORDER BY {order}"
_AS_THEY_LIE = "rowid"
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('sessions', 'messages')"


class NotCrush(Exception):
    """The database has not the tables that Crush makes."""


@contextmanager
def reading(target: str, *, seconds: float) -> Iterator[sqlite3.Connection]:
    """A connection to the file at the SQLite URI `target`, which may be damaged or worse; it reads so long at most.

    Raises sqlite3.Error.
    """
    deadline = time.monotonic() + seconds
    with closing(sqlite3.connect(target, uri=True)) as db:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        db.execute("PRAGMA trusted_schema = OFF")
        # else SQLite refuses to read any of a file that is shorter than it should be
        db.execute("PRAGMA writable_schema = ON")
        db.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
        yield db


def sessions_since(db: sqlite3.Connection, since: float) -> Iterator[Session]:
    """The sessions that began at `since` (a POSIX time) or later, parents before their children.

    Where only messages are damaged, a message says so. Raises NotCrush, and sqlite3.Error for a damaged file.
    """
    yield from _chosen(db, lambda rows: [row for row in rows if _seconds(row["created_at"]) >= int(since)])


def sessions_under(db: sqlite3.Connection, session: str) -> Iterator[Session]:
    """The session of that id and those of its sub-agents, parents before their children; raises as above."""

    def family(rows: list[sqlite3.Row]) -> list[sqlite3.Row]:
        known, size = {session}, 0
        while len(known) > size:
            size = len(known)
            known |= {row["id"] for row in rows if row["parent_session_id"] in known}
        return [row for row in rows if row["id"] in known]

    yield from _chosen(db, family)


def newest_sessions(db: sqlite3.Connection) -> list[str]:
    """The ids of the newest sessions, a few at most; raises sqlite3.Error."""
    return [row[0] for row in db.execute(_NEWEST) if _is_id(row[0])]


def _chosen(db: sqlite3.Connection, choose: Callable[[list[sqlite3.Row]], list[sqlite3.Row]]) -> Iterator[Session]:
    db.row_factory = sqlite3.Row
    if len(db.execute(_TABLES).fetchall()) < 2:
        raise NotCrush("there are no tables sessions and messages")
    shown = _columns(db, "sessions", _SESSION)
    rows = [row for row in db.execute(_SESSIONS.format(columns=shown)) if _is_id(row["id"])]
    newest = choose(rows)[:MOST_SESSIONS]
    newest.reverse()
    newest.sort(key=lambda row: bool(row["parent_session_id"]))
    for row in newest:
        yield _session(db, row)


def _session(db: sqlite3.Connection, row: sqlite3.Row) -> Session:
    parent = row["parent_session_id"]
    return Session(
        id=row["id"],
        parent_session_id=parent if _is_id(parent) else None,
        title=_text(row["title"]),
        prompt_tokens=_int(row["prompt_tokens"]),
        completion_tokens=_int(row["completion_tokens"]),
        cost=_cost(row["cost"]),
        created_at=_int(row["created_at"]),
        updated_at=_int(row["updated_at"]),
        messages=_messages(db, row["id"]),
    )


def _messages(db: sqlite3.Connection, session: str) -> list[SessionMessage]:
    kept: list[SessionMessage] = []
    room, left_out = SESSION_BYTES, 0
    try:
        for message in _newest_first(db, session):
            room -= len(message.model_dump_json().encode())
            if room < 0:
                left_out += 1
            else:
                kept.append(message)
    except sqlite3.DatabaseError as error:
        return [*_readable(db, session), _note("damaged", f"from here on the log cannot be read: {error}")]
    if left_out:
        text = f"the {left_out} oldest messages are left out: a log is cut at {SESSION_BYTES // 1_000_000} MB"
        kept.append(_note("left-out", text))
    return kept[::-1]


def _readable(db: sqlite3.Connection, session: str) -> Iterator[SessionMessage]:
    """Of a damaged file the messages up to the damage, in the order in which they lie there."""
    room = SESSION_BYTES
    try:
        for message in _read(db, session, _AS_THEY_LIE):
            room -= len(message.model_dump_json().encode())
            if room < 0:
                return
            yield message
    except sqlite3.DatabaseError:
        return


def _note(name: str, text: str) -> SessionMessage:
    return SessionMessage(id=name, role="system", content=f"[{text}]")


def _newest_first(db: sqlite3.Connection, session: str) -> Iterator[SessionMessage]:
    dated = "NULL AS created_at" not in _columns(db, "messages", ["created_at"])
    yield from _read(db, session, "created_at DESC, rowid DESC" if dated else "rowid DESC")


def _read(db: sqlite3.Connection, session: str, order: str) -> Iterator[SessionMessage]:
    columns = _columns(db, "messages", _MESSAGE)
    for row in db.execute(_MESSAGES.format(columns=columns, order=order), (session,)):
        if not _is_id(row["id"]):
            continue
        yield SessionMessage(
            id=row["id"],
            role=_short(row["role"]),
            content=_text(row["parts"]),
            model=_short(row["model"]),
            provider=_short(row["provider"]),
            created_at=_int(row["created_at"]),
            finished_at=_int(row["finished_at"]),
        )


def _columns(db: sqlite3.Connection, table: str, wanted: list[str]) -> str:
    there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    return ", ".join(name if name in there else f"NULL AS {name}" for name in wanted)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= SESSION_ID_CHARS and "\x00" not in value


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _short(value: Any) -> str | None:
    text = _text(value)
    return None if text is None else text.replace("\x00", "")[:TEXT_CHARS]


def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1 << 63 else None


def _cost(value: Any) -> float:
    return max(0.0, float(value)) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _seconds(value: Any) -> float:
    number = _int(value) or 0
    return number / 1000 if number > MILLISECONDS else number
