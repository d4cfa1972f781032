"""What may stand in a query string, as models: the app reads queries with them, and /openapi.json describes them.

A parameter that a route does not know is refused, so that a misspelt filter is not taken for none. Routes of runners
and agents ignore what they do not know: these change slower than the control plane, and newer ones may send more.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from qb.contract.acts import Action
from qb.contract.keys import MAX_GRACE_HOURS
from qb.contract.states import TaskStatus
from qb.contract.tasks import MAX_POLL_WAIT
from qb.contract.text import Id, Name, Text

PAGE = 200
MOST = 1000
LARGEST_PAGE = 5000
LAST_CURSOR = (1 << 62) - 1
MAX_DAYS = 36_500


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def pair(tag: str) -> tuple[str, str]:
    """Name and value of ``name=value``. Raises ValueError."""
    name, equals, value = tag.partition("=")
    if not name or not equals:
        raise ValueError("is no pair: write for example site=acme")
    return name, value


def _pair(tag: str) -> str:
    pair(tag)
    return tag


def _in_utc(moment: datetime) -> datetime:
    if not 1970 <= moment.year <= 9998:
        raise ValueError("is no time of this age")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Pair = Annotated[Text, AfterValidator(_pair)]
"""A tag, as ``name=value``."""

ID_PREFIX = r"^[0-9A-Fa-f-]{4,36}$"
CURSOR = r"^[A-Za-z0-9_-]{0,1400}$"
IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,255}$"

IdPrefix = Annotated[str, StringConstraints(pattern=ID_PREFIX, to_lower=True)]
Cursor = Annotated[int, Field(ge=0, le=LAST_CURSOR)]


def name_cursor(name: str) -> str:
    """The cursor that leads on from `name`: plain characters, whatever the name holds."""
    return urlsafe_b64encode(name.encode()).rstrip(b"=").decode()


def _name(cursor: str) -> str:
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("is no cursor of this list: begin without one") from error


NameCursor = Annotated[str, StringConstraints(pattern=CURSOR), AfterValidator(_name)]


class Query(BaseModel):
    """Parameters of a route for operators: others are refused."""

    model_config = ConfigDict(extra="forbid")


class WorkerQuery(BaseModel):
    """Parameters of a route for runners and agents: others are ignored."""


class TaskFilters(Query):
    """GET /tasks. All that are given must match; a page may be shorter than `limit` and still have a next one."""

    limit: int = Field(default=PAGE, ge=1, le=MOST)
    cursor: Cursor | None = Field(default=None, description="X-Next-Cursor of the page before")
    status_filter: TaskStatus | None = None
    node: Name | None = Field(default=None, description="id or name of the node that has or had the task")
    tag: Annotated[list[Pair], BeforeValidator(_listed)] = Field(
        default=[], max_length=16, description="a tag that the task targets, as name=value"
    )
    key: Name | None = Field(default=None, description="id or name of the key that made the task")
    group: Id | None = Field(default=None, description="id of the group that it was made with")
    text: Name | None = Field(default=None, description="a part of the prompt or the title; A to Z in any case")
    since: Moment | None = Field(default=None, description="made at this time or later")
    until: Moment | None = Field(default=None, description="made before this time")
    id_prefix: IdPrefix | None = Field(default=None, description="first characters of the id")


class RecordPage(Query):
    """A page of a task's history or output, the oldest first. `after` is another name for `cursor`."""

    limit: int = Field(default=MOST, ge=1, le=LARGEST_PAGE)
    cursor: Cursor = Field(
        default=0,
        validation_alias=AliasChoices("cursor", "after"),
        description="X-Next-Cursor of the page before, or any id: the page begins after it",
    )


class NewestPage(Query):
    """A page of a log, the newest entry first."""

    limit: int = Field(default=PAGE, ge=1, le=MOST)
    cursor: Cursor | None = Field(default=None, description="X-Next-Cursor of the page before")


class AuditFilters(NewestPage):
    """GET /keys/audit."""

    action: Action | None = None


class Cleanup(Query):
    """POST /tasks/cleanup."""

    days: Annotated[float, Field(ge=0, le=MAX_DAYS, allow_inf_nan=False)] = Field(
        default=7, description="remove tasks that ended this long ago or earlier"
    )


class KeyRotation(Query):
    """POST /keys/{key_id}/rotate."""

    grace_period_hours: Annotated[float, Field(ge=0, le=MAX_GRACE_HOURS, allow_inf_nan=False)] = Field(
        default=24, description="how long the old secret stays good; 0 ends every former one at once"
    )


class NodeRotation(Query):
    """POST /nodes/{node_id}/rotate."""

    grace_period_hours: Annotated[float, Field(ge=0, le=MAX_GRACE_HOURS, allow_inf_nan=False)] | None = Field(
        default=None, description="how long the old key stays good; by default until the node registers again"
    )


class NodeRemoval(Query):
    """DELETE /nodes/{node_id}."""

    force: bool = Field(default=False, description="though it holds tasks: these end when their leases do")


class NamePage(Query):
    """A page of things that are listed by name. `cursor` is read as the name to begin after."""

    limit: int = Field(default=MOST, ge=1, le=LARGEST_PAGE)
    cursor: NameCursor = Field(default="", description="X-Next-Cursor of the page before")


class AgePage(NamePage):
    """A page of things that are listed by age, the oldest first. `cursor` is read as `age` of the last one."""

    @staticmethod
    def age(entry: dict[str, Any]) -> str:
        """What such a list is sorted by."""
        return f"{entry['created_at']} {entry['id']}"


class Poll(WorkerQuery):
    """GET /tasks/pending."""

    wait: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0, description=f"seconds to wait for a task; more than {MAX_POLL_WAIT:g} are taken for that"
    )
    held: str = Field(default="", description="wire 2: the attempts that the node holds, as ID:ATTEMPT,...")


class Download(WorkerQuery):
    """GET /files/{name}."""

    task_id: Id | None = Field(default=None, description="whose file, where the node holds several tasks")


class ArtifactPut(WorkerQuery):
    """PUT /tasks/{task_id}/artifacts/{name}."""

    attempt: int | None = Field(default=None, ge=0, le=(1 << 31) - 1)


# request headers, under their names on the wire


class Headers(BaseModel):
    """Request headers of a route beside the credential."""


class CreateHeaders(Headers):
    """POST /tasks."""

    idempotency_key: Annotated[str, StringConstraints(pattern=IDEMPOTENCY_KEY)] | None = Field(
        default=None,
        alias="Idempotency-Key",
        description="the same key and body within 24 hours make no second task; a key with another body is refused",
    )
    task_token: str | None = Field(
        default=None,
        alias="X-Task-Token",
        description="the token of the running task that asks for this one, which becomes its parent",
    )


class ResumeHeaders(Headers):
    """A stream of server-sent events."""

    last_event_id: Annotated[int, Field(ge=0, le=(1 << 63) - 1)] | None = Field(
        default=None,
        alias="Last-Event-ID",
        description="the id of the last event received: the stream goes on after it",
    )


class DigestHeaders(Headers):
    """PUT of an artifact."""

    digest: str | None = Field(default=None, alias="Digest", description="sha-256=BASE64 of the body, to be checked")


class DownloadHeaders(Headers):
    """GET of a file's bytes. The ETag is the SHA-256 of the whole file in double quotes."""

    range: str | None = Field(default=None, alias="Range", description="bytes=FIRST-LAST: 206 with that part alone")
    if_range: str | None = Field(
        default=None, alias="If-Range", description="an ETag: the whole file when it is another by now"
    )
    if_none_match: str | None = Field(
        default=None, alias="If-None-Match", description="an ETag: 304 without a body when it still is that"
    )


class ReadHeaders(Headers):
    """GET of one thing."""

    if_none_match: str | None = Field(
        default=None, alias="If-None-Match", description="an ETag: 304 without a body when it still is that"
    )


class ChangeHeaders(Headers):
    """A change of one thing."""

    if_match: str | None = Field(
        default=None, alias="If-Match", description="an ETag: 412 when the thing has changed since"
    )
