"""What a reader is told when a page cannot be had: in words for who reads, without what is behind it."""

import sqlite3
from dataclasses import dataclass

from datasette.database import QueryInterrupted
from datasette.utils.asgi import Base400
from datasette.views.base import DatasetteError

from qb.dashboard.roles import Role

_SORTING = ("Cannot sort table by", "Cannot use _sort")
_WAY_OUT = "a large table is sorted by what has an index, and by one column: those whose headings are links"
_CUT = "This took longer than a second, the time limit, and was stopped. Narrow it: "
_NARROW = {
    "data": "fewer rows, a condition on a column that has an index, or a LIMIT.",
    "": "a shorter text, one node or one status. Or try again: the machine may be busy.",
}
_GONE = "The control plane's database is not where it was when the dashboard was started. Try again in a moment."
_FULL = "This took more memory than the dashboard gives to all questions together. Narrow it, or try again in a moment."
_OURS = "The dashboard failed at this, and its log says how. What you asked for is not at fault."
_MALFORMED = "The address asks for something in a form that this page does not understand."
_PLAIN = {
    "404": "There is no such page.",
    "Table not found": "There is no such table, and no such question.",
    "Record not found": "There is no such row: it may have been removed by a clean-up.",
    "Database not found": "There is no such page.",
}
_SQL = (
    "SQL is for analysts, and you are signed in as a viewer: the questions of the page Data are for you. "
    "Whoever keeps the server can make you an analyst."
)
_TABLE = "This table is for analysts, and you are signed in as a viewer."
_SHUT = "This table is shut for every role: no question about the fleet needs it."
_AREAS = {
    "/qb": ("data", "/qb"), "/tasks": ("tasks", "/tasks"), "/task": ("tasks", "/tasks"), "/audit": ("audit", "/audit"),
    "/-/dashboards": ("trends", "/-/dashboards/trends"), "/trends": ("trends", "/-/dashboards/trends"),
    "/node": ("fleet", "/"),
}  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """An HTTP status and what the page says."""

    status: int
    title: str
    why: str


@dataclass(frozen=True)
class Place:
    """Where a reader was: the area of the navigation (empty for none of them), and the page that leads back there."""

    area: str
    back: str

    @property
    def name(self) -> str:
        """The name of the page that leads back."""
        return (self.area or "fleet").capitalize()


def place(path: str) -> Place:
    """The area that a path is of."""
    for prefix, (area, back) in _AREAS.items():
        if path == prefix or path.startswith((f"{prefix}/", f"{prefix}.")):
            return Place(area, back)
    return Place("fleet" if path == "/" else "", "/")


def of_error(error: Exception, path: str) -> Refusal | None:
    """What to say instead of an exception; None for one that nobody foresaw."""
    if isinstance(error, sqlite3.OperationalError) and str(error) == "unable to open database file":
        return Refusal(503, "No database", _GONE)
    if isinstance(error, sqlite3.DatabaseError) and place(path).area == "data":
        return Refusal(400, "Invalid SQL", str(error))
    if isinstance(error, MemoryError):
        return Refusal(400 if place(path).area == "data" else 503, "It took too much memory", _FULL)
    if isinstance(error, QueryInterrupted) or (isinstance(error, DatasetteError) and error.message_is_html):
        data = place(path).area == "data"
        return Refusal(400 if data else 503, "It took too long", _CUT + _NARROW["data" if data else ""])
    if isinstance(error, DatasetteError):
        return _of_datasettes(error)
    if isinstance(error, Base400):
        said = str(error.args[0]) if error.args else ""
        return Refusal(error.status, _title(error.status), _sentence(_PLAIN.get(said, said)))
    return None


def of_fault(error: Exception, path: str, query: str) -> Refusal:
    """What to say of any other: Datasette does not look at all that an address asks of its tables before it uses it."""
    if query and place(path).area == "data" and isinstance(error, (ValueError, TypeError, OverflowError)):
        return Refusal(400, _title(400), _MALFORMED)
    return Refusal(500, "Something went wrong", _OURS)


def forbidden(message: str, role: Role | None, *, shut: bool) -> Refusal:
    """Whom to ask for it; `shut` says that it was a table which no role may see."""
    if shut:
        why = _SHUT
    elif role is Role.VIEWER and message == "execute-sql":
        why = _SQL
    elif role is Role.VIEWER and "table" in message:
        why = _TABLE
    else:
        why = "This is not part of the dashboard."
    return Refusal(403, "Shut" if shut else _title(403), why)


def _of_datasettes(error: DatasetteError) -> Refusal:
    if error.message == "_where= is not allowed":
        return Refusal(403, _title(403), _SQL)
    way_out = f": {_WAY_OUT}" if error.message.startswith(_SORTING) else ""
    # without a status of its own it is what the reader asked for and a table does not offer
    status = 400 if error.status == 500 else error.status
    return Refusal(status, error.title or _title(status), _sentence(error.message + way_out))


def _title(status: int) -> str:
    return {403: "Not for this role", 404: "Not found"}.get(status, "That cannot be done")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
