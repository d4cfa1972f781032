"""Links to an agent's session on a Crush server."""

from urllib.parse import quote

from qb.domain.errors import Invalid

PLACE = "{session}"
SESSION_PATH = f"/sessions/{PLACE}"
"""Where a session is, unless the operator says otherwise."""


def checked_path(path: str) -> str:
    """The path, if it can lead to a session. Raises Invalid."""
    if not path.startswith("/") or PLACE not in path or not path.isprintable() or " " in path:
        raise Invalid(f"{path!r} is no path of a session: begin with / and write {PLACE} for its id, as {SESSION_PATH}")
    return path


def session_url(server: str | None, session: str | None) -> str | None:
    """The session's address; `server` is a URL with its path, in which a place is left for the id."""
    if not server or not session:
        return None
    return (server if PLACE in server else server + SESSION_PATH).replace(PLACE, quote(session, safe=""))
