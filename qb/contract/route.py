"""What a row of the route table says, and the words for it."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from qb.contract.scopes import Scope


class Caller(StrEnum):
    """Kinds of credential. Which one a request carries decides what it may call."""

    ANYONE = "anyone"
    ADMIN = "admin"
    SCOPED = "scoped"
    NODE = "node"
    AGENT = "agent"
    REGISTRATION = "registration"


class Media(StrEnum):
    """What a body is."""

    JSON = "application/json"
    BYTES = "application/octet-stream"
    FORM = "multipart/form-data"
    TEXT = "text/plain"
    HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `query` and `headers` are read with these models, into `req.context.query` and `req.context.headers`.

    `many`: the reply is a JSON array. `nullable`: it may be null. `etag`: it has an ETag. `streams`: it is a stream of
    server-sent events when the caller asks for that. `also`: statuses beside `status` and the errors that every
    such route may answer. A scoped key needs `scope`; where the path names a task, it must be the key's own.
    """

    name: str
    method: str
    path: str
    callers: frozenset[Caller]
    request: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    status: int = 200
    many: bool = False
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    takes: Media = Media.JSON
    gives: Media = Media.JSON
    streams: bool = False
    nullable: bool = False
    etag: bool = False
    also: frozenset[int] = frozenset()
    scope: Scope | None = None


def callers(*kinds: Caller) -> frozenset[Caller]:
    """A set of callers."""
    return frozenset(kinds)


def codes(*statuses: int) -> frozenset[int]:
    """A set of statuses."""
    return frozenset(statuses)


ANYONE = callers(Caller.ANYONE)
ADMIN = callers(Caller.ADMIN)
CLIENTS = callers(Caller.ADMIN, Caller.SCOPED)
NODE = callers(Caller.NODE)
WORKERS = callers(Caller.NODE, Caller.AGENT)
READ, CREATE, CANCEL, FILES = Scope.TASKS_READ, Scope.TASKS_CREATE, Scope.TASKS_CANCEL, Scope.FILES
OWN_TASK = CLIENTS | {Caller.AGENT}
TALKERS = CLIENTS | WORKERS
JOINING = callers(Caller.REGISTRATION, Caller.NODE)
