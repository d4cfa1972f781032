"""Credentials on the wire: API keys and registration tokens.

A secret is in one reply only, the one that made it; what lists show is its prefix.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from qb.contract.scopes import Role, Scope
from qb.contract.text import NO_CONTROL, Name, Tags, Text

MAX_PATTERNS = 64
MAX_DAYS = 36_500
MAX_GRACE_HOURS = 24 * 365

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_CONTROL)]
"""A glob over node names, matched case-sensitively: ``client-acme-*``."""


class KeyCreate(BaseModel):
    """Body of POST /keys. An admin key takes no scopes and no limits on nodes: it may do everything.

    A node serves a scoped key's tasks when its name matches one of the patterns (none: any name) and it has every
    tag. `rate_limit` is in requests a minute, `max_running` in tasks at once.
    """

    name: Name
    description: Text | None = None
    role: Role = Role.SCOPED
    scopes: list[Scope] | None = Field(default=None, max_length=len(Scope))
    allowed_node_patterns: list[Pattern] = Field(default=[], max_length=MAX_PATTERNS)
    allowed_node_tags: Tags = {}
    rate_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    max_running: int | None = Field(default=None, ge=1, le=1_000_000)
    expires_in_days: float | None = Field(default=None, gt=0, le=MAX_DAYS)


class KeyChange(BaseModel):
    """Body of PATCH /keys/{id}: what is absent stays, null takes a limit away. It holds for what waits already, too.

    What a key may do and where stays as it was made: its tasks rely on that. So any other field is refused: who sent
    it would take the key for narrowed.
    """

    model_config = ConfigDict(extra="forbid")

    description: Text | None = None
    rate_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    max_running: int | None = Field(default=None, ge=1, le=1_000_000)
    expires_in_days: float | None = Field(default=None, gt=0, le=MAX_DAYS)


class Key(BaseModel):
    """An API key as the API shows it. Times are ISO 8601 UTC; `last_used_at` is exact to some seconds."""

    id: str
    name: str
    description: str | None = None
    key_prefix: str
    role: Role
    scopes: list[Scope] = []
    allowed_node_patterns: list[str] = []
    allowed_node_tags: dict[str, str] = {}
    rate_limit: int | None = None
    max_running: int | None = None
    created_at: str
    expires_at: str | None = None
    rotated_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None


class KeyCreated(Key):
    """Reply to POST /keys and to a rotation: the key itself, this once."""

    api_key: str


class TokenCreate(BaseModel):
    """Body of POST /registration-tokens. A use is a new name that joins; coming back under it is none."""

    description: Text | None = None
    name_glob: Pattern = "*"
    allows_push: bool = False
    max_uses: int | None = Field(default=None, ge=1, le=1_000_000)
    expires_in_days: float | None = Field(default=None, gt=0, le=MAX_DAYS)


class Token(BaseModel):
    """A registration token as the API shows it."""

    id: str
    description: str | None = None
    token_prefix: str
    name_glob: str
    allows_push: bool
    max_uses: int | None = None
    uses: int = 0
    created_at: str
    expires_at: str | None = None
    last_used_at: str | None = None


class TokenCreated(Token):
    """Reply to POST /registration-tokens: the token itself, this once."""

    token: str
