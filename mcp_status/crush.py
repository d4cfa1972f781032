"""Crush's own log on its way to the orchestrator: found, read while Crush goes on writing, sent session by session."""

import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mcp_status.crush_log import LogsSent, NoTranscript, Wanted
from qb.client.api import QbClient
from qb.client.crush import NotCrush, newest_sessions, reading, sessions_since, sessions_under
from qb.client.errors import Unreachable
from qb.contract.logs import Session, SessionUpload

DATABASE = "crush.db"
READ_SECONDS = 30.0


def send_logs(client: QbClient, task_id: str, folders: Sequence[Path], wanted: Wanted, seconds: float) -> LogsSent:
    """Send the sessions that are wanted, within so many seconds; sent again, they replace what was sent before.

    Raises ClientError.
    """
    until = time.monotonic() + seconds
    reasons = []
    for place in (folder / DATABASE for folder in folders):
        try:
            if not _there(place):
                continue
            sent = LogsSent(place, [])
            for session in _sessions(place, wanted):
                _send(client, task_id, session, until)
                _count(sent, session)
            if sent.sessions:
                return sent
            reasons.append(f"{place} holds no such session; its newest are {_newest(place)}")
        except (OSError, sqlite3.Error, NotCrush, ValueError) as error:
            reasons.append(f"{place} cannot be read: {error}")
    where = "; ".join(reasons) or "looked for " + f"{DATABASE} in " + ", ".join(map(str, folders))
    raise NoTranscript(f"no Crush log to send: {where}")


def _there(place: Path) -> bool:
    try:
        kind = place.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(kind):
        raise OSError("it is a link or a device, not a plain file")
    return True


def _sessions(place: Path, wanted: Wanted) -> Iterator[Session]:
    # Crush has it open and goes on writing: read beside it, change nothing
    with reading(f"{place.absolute().as_uri()}?mode=ro", seconds=READ_SECONDS) as db:
        if wanted.session_id is None:
            yield from sessions_since(db, wanted.since)
        else:
            yield from sessions_under(db, wanted.session_id)


def _newest(place: Path) -> str:
    with reading(f"{place.absolute().as_uri()}?mode=ro", seconds=READ_SECONDS) as db:
        return ", ".join(newest_sessions(db)) or "none at all"


def _send(client: QbClient, task_id: str, session: Session, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise Unreachable("the log took too long to send")
    client.report_session(SessionUpload(task_id=task_id, session=session), timeout=left)


def _count(sent: LogsSent, session: Session) -> None:
    if session.parent_session_id not in sent.sessions:
        sent.cost += session.cost or 0.0  # else it is part of its parent's, which went first
    sent.sessions.append(session.id)
    sent.messages += len(session.messages)
    sent.tokens += (session.prompt_tokens or 0) + (session.completion_tokens or 0)
