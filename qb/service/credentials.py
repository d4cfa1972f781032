"""Who is calling: API keys, registration tokens, derived node keys and signed task tokens."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from itsdangerous import BadSignature, Signer

from qb.contract.keys import Scope
from qb.contract.routes import Caller
from qb.domain.errors import RegistrationOff, Unauthenticated
from qb.domain.times import Clock, parse
from qb.store.keys import ApiKey, RegistrationToken, keys, open_keys, tokens

ADMIN, NODE, TASK, REGISTRATION = "qba_", "qbn_", "qbt_", "qbr_"
PREFIX_CHARS = 12
CACHE_LIMIT = 20_000
"""Verified credentials kept at most; one more, and the cache starts afresh."""

MAX_CREDENTIAL = 1024

_UNKNOWN = "the API key is not known: check QB_API_KEY, the X-API-Key header or the profile file"
_EXPIRED = "the API key has expired: ask the operator for a new one"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from. `current` is False for a node's replaced key, which may only report.

    What follows `name` restricts a scoped key: a node must match one of the patterns (none: any) and have every tag;
    `rate_limit` is in requests a minute, `max_running` in tasks at once.
    """

    caller: Caller
    node_id: str | None = None
    key_version: int = 0
    current: bool = True
    task_id: str | None = None
    attempt: int | None = None
    key_id: str | None = None
    name: str = ""
    scopes: frozenset[Scope] = frozenset()
    node_patterns: tuple[str, ...] = ()
    node_tags: tuple[tuple[str, str], ...] = ()
    rate_limit: int | None = None
    max_running: int | None = None


NOBODY = Identity(Caller.ANYONE)


def new_secret(prefix: str) -> str:
    """A fresh credential of 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def digest(credential: str) -> str:
    """What is stored of a credential: its SHA-256 in hex."""
    return hashlib.sha256(credential.encode()).hexdigest()


class Credentials:
    """Every credential the server accepts, in memory; `identify` is on the path of each request."""

    def __init__(
        self,
        secret: bytes,
        clock: Clock,
        *,
        api_keys: list[ApiKey] | None = None,
        registration_tokens: list[RegistrationToken] | None = None,
    ) -> None:
        self._node_secret = hmac.digest(secret, b"node key", "sha256")
        # Every claim signs one: the key is derived here, once, and not anew for each token.
        self._signer = Signer(
            hmac.digest(secret, b"task token", "sha256"), key_derivation="none", digest_method=hashlib.sha256
        )
        self._clock = clock
        self._keys = {key.hash: key for key in api_keys or ()}
        self._tokens = {token.hash: token for token in registration_tokens or ()}
        self._versions: dict[str, int] = {}
        self._cache: dict[str, tuple[Identity, datetime | None]] = {}

    @classmethod
    def load(cls, data_dir: Path, clock: Clock) -> "Credentials":
        """Read the server's secret and keys.db from the data directory."""
        secret = bytes.fromhex((data_dir / "secret").read_text("ascii").strip())
        db = open_keys(data_dir / "keys.db")
        try:
            return cls(secret, clock, api_keys=keys(db), registration_tokens=tokens(db))
        finally:
            db.close()

    def identify(self, api_key: str | None, registration_token: str | None = None) -> Identity:
        """Who presents this; a registration token is looked at first.

        Raises Unauthenticated, or RegistrationOff when no registration token is valid any more.
        """
        if registration_token is not None:
            token = self.registration(registration_token)
            return Identity(Caller.REGISTRATION, key_id=token.id, name=f"registration {token.prefix}")
        if not api_key:
            raise Unauthenticated("no API key: send one in the X-API-Key header")
        known = self._cache.get(api_key)
        if known is None:
            known = self._verify(api_key)
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[api_key] = known
        identity, expires = known
        if expires is not None and self._clock() >= expires:
            raise Unauthenticated(_EXPIRED)
        return identity

    def _verify(self, credential: str) -> tuple[Identity, datetime | None]:
        if len(credential) > MAX_CREDENTIAL or not credential.isascii():
            raise Unauthenticated(_UNKNOWN)
        if credential.startswith(NODE):
            return self._node(credential), None
        if credential.startswith(TASK):
            return self._task(credential)
        key = self._keys.get(digest(credential))
        if key is None:
            raise Unauthenticated(_UNKNOWN)
        identity = Identity(Caller(key.role), key_id=key.id, name=key.name)
        return identity, parse(key.expires_at) if key.expires_at else None

    # nodes

    def node_key(self, node_id: str, version: int) -> str:
        """The key of a node; derived, so that it need not be stored to be presented to a push node."""
        mac = hmac.digest(self._node_secret, f"{node_id}\0{version}".encode(), "sha256")
        return f"{NODE}{node_id.replace('-', '')}_{version}_{urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    def know_node(self, node_id: str, version: int) -> None:
        """Accept the node's key of this version; older ones may only report from now on."""
        if self._versions.get(node_id) != version:
            self._versions[node_id] = version
            self._cache.clear()

    def forget_node(self, node_id: str) -> None:
        """Accept no key of the node any more."""
        if self._versions.pop(node_id, None) is not None:
            self._cache.clear()

    def _node(self, credential: str) -> Identity:
        try:
            _, node, number, _ = credential.split("_", 3)
            node_id, version = str(UUID(node)), int(number)
        except ValueError as error:
            raise Unauthenticated(_UNKNOWN) from error
        genuine = hmac.compare_digest(self.node_key(node_id, version), credential)
        known = self._versions.get(node_id)
        if not genuine or known is None:
            raise Unauthenticated(_UNKNOWN)
        # A later version than the one known is genuine too: the database was restored from a backup.
        return Identity(Caller.NODE, node_id, key_version=version, current=version >= known, name=f"node {node_id}")

    # agents

    def task_token(self, task_id: str, attempt: int, *, lifetime: float | None, now: datetime) -> str:
        """A token for the agent of one attempt, good for `lifetime` seconds (None: no end)."""
        expires = None if lifetime is None else int((now + timedelta(seconds=lifetime)).timestamp())
        return TASK + self._signer.sign(f"{task_id}.{attempt}.{'' if expires is None else expires}").decode()

    def _task(self, credential: str) -> tuple[Identity, datetime | None]:
        try:
            payload = self._signer.unsign(credential[len(TASK) :]).decode()
        except BadSignature as error:
            raise Unauthenticated("the task token is not genuine: use the one of NODE_API_KEY") from error
        task_id, attempt, expires = payload.rsplit(".", 2)
        identity = Identity(Caller.AGENT, task_id=task_id, attempt=int(attempt), name=f"task {task_id}")
        ends = self._clock().fromtimestamp(int(expires), tz=self._clock().tzinfo) if expires else None
        return identity, ends

    # joining

    @property
    def registration_on(self) -> bool:
        """Whether any registration token could let a node in."""
        return any(self._valid(token) for token in self._tokens.values())

    def registration(self, token: str) -> RegistrationToken:
        """The registration token itself. Raises Unauthenticated, or RegistrationOff when none is valid."""
        known = self._tokens.get(digest(token)) if len(token) <= MAX_CREDENTIAL and token.isascii() else None
        if known is not None and self._valid(known):
            return known
        if not self.registration_on:
            raise RegistrationOff("registration is off: make a registration token first")
        reason = "is not known" if known is None else "has expired"
        raise Unauthenticated(f"the registration token {reason}: ask the operator for one")

    def registration_by_id(self, token_id: str | None) -> RegistrationToken | None:
        """The valid registration token of that id (`Identity.key_id`), if there still is one."""
        found = (token for token in self._tokens.values() if token.id == token_id and self._valid(token))
        return next(found, None)

    def _valid(self, token: RegistrationToken) -> bool:
        return token.expires_at is None or self._clock() < parse(token.expires_at)
