"""Runs of playbooks on the wire: who ran what on which hosts, and what came of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from qb.contract.text import Message, Name, Text

MAX_HOSTS = 20_000


class ProvisionOutcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class ProvisionedHost(BaseModel):
    """What a run did on one host: how many tasks ended how, and the one that failed."""

    host: Name
    ok: int = Field(default=0, ge=0)
    changed: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)
    failed: bool = False
    unreachable: bool = False
    failed_task: Text | None = None
    message: Message | None = None


class ProvisionRunCreate(BaseModel):
    """Body of POST /provision-runs: one run that has ended. `limit` is the glob that it was limited to."""

    playbook: Name
    limit: Text | None = None
    check: bool = False
    outcome: ProvisionOutcome
    message: Message | None = None
    started_at: AwareDatetime
    ended_at: AwareDatetime
    hosts: Annotated[list[ProvisionedHost], Field(max_length=MAX_HOSTS)] = []


class ProvisionRun(BaseModel):
    """A run as the API shows it; `actor` is the name of the key that recorded it. Times are ISO 8601 UTC."""

    id: str
    playbook: str
    limit: str | None = None
    check: bool
    outcome: ProvisionOutcome
    message: str | None = None
    actor: str
    started_at: str
    ended_at: str
    recorded_at: str
    hosts: list[ProvisionedHost]
