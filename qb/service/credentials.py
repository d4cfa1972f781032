"""Who is calling: API keys, registration tokens, derived node keys and signed task tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from qb.contract.routes import Caller
from qb.contract.scopes import Role, Scope
from qb.domain.errors import Unauthenticated
from qb.domain.times import Clock, parse
from qb.service.registration import Registration
from qb.service.secrets import MAX_CREDENTIAL, digest
from qb.service.signing import NODE, TASK, Signing
from qb.store.keys import ApiKey, FormerSecret, former_secrets, keys, open_keys
from qb.store.registration_tokens import RegistrationToken, tokens

CACHE_LIMIT = 20_000
"""Verified credentials kept at most; one more, and the cache starts afresh."""

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

    @property
    def owner(self) -> str | None:
        """The key whose tasks alone the caller may know of; None for who may know of all."""
        return self.key_id if self.caller is Caller.SCOPED else None


NOBODY = Identity(Caller.ANYONE)
Verified = tuple[Identity, datetime | None]
"""An identity, and until when it holds."""


@dataclass(frozen=True, slots=True)
class _NodeKeys:
    """A node's newest key, the oldest that is as good, and until when those before the newest are."""

    newest: int
    oldest: int
    until: datetime | None = None


class Credentials:
    """Every credential the server accepts, in memory; `identify` is on the path of each request."""

    def __init__(
        self,
        secret: bytes,
        clock: Clock,
        *,
        api_keys: Iterable[ApiKey] = (),
        former: Iterable[FormerSecret] = (),
        registration_tokens: Iterable[RegistrationToken] = (),
    ) -> None:
        self._signing = Signing(secret)
        self._clock = clock
        self._keys: dict[str, tuple[ApiKey, datetime | None]] = {}
        self._max_running: dict[str, int | None] = {}
        self.registration = Registration(clock, registration_tokens)
        self._nodes: dict[str, _NodeKeys] = {}
        self._cache: dict[str, Verified] = {}
        self._used: set[str] = set()
        earlier = list(former)
        for key in api_keys:
            self.know_key(key, [each for each in earlier if each.key_id == key.id])

    @classmethod
    def load(cls, data_dir: Path, clock: Clock) -> "Credentials":
        """Read the server's secret and keys.db from the data directory."""
        secret = bytes.fromhex((data_dir / "secret").read_text("ascii").strip())
        db = open_keys(data_dir / "keys.db")
        try:
            return cls(secret, clock, api_keys=keys(db), former=former_secrets(db), registration_tokens=tokens(db))
        finally:
            db.close()

    def identify(self, api_key: str | None, registration_token: str | None = None) -> Identity:
        """Who presents this; a registration token is looked at first.

        Raises Unauthenticated, or RegistrationOff when no registration token is valid any more.
        """
        if registration_token is not None:
            token = self.registration.identify(registration_token)
            self._used.add(token.id)
            return Identity(Caller.REGISTRATION, key_id=token.id, name=f"registration {token.prefix}")
        if not api_key:
            raise Unauthenticated("no API key: send one in the X-API-Key header")
        known = self._cache.get(api_key)
        if known is None or (known[1] is not None and self._clock() >= known[1]):
            known = self._verify(api_key)
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[api_key] = known
        identity = known[0]
        if identity.key_id is not None:
            self._used.add(identity.key_id)
        return identity

    def accepts(self, api_key: str | None) -> bool:
        """Whether a key that was good when a request came still is."""
        try:
            self.identify(api_key)
        except Unauthenticated:
            return False
        return True

    def take_used(self) -> set[str]:
        """The keys and registration tokens that were used since this was last asked."""
        used, self._used = self._used, set()
        return used

    def put_back(self, used: set[str]) -> None:
        """These could not be written down: they are to be taken again."""
        self._used |= used

    def _verify(self, credential: str) -> Verified:
        if len(credential) > MAX_CREDENTIAL or not credential.isascii():
            raise Unauthenticated(_UNKNOWN)
        if credential.startswith(NODE):
            return self._node(credential)
        if credential.startswith(TASK):
            return self._task(credential)
        known = self._keys.get(digest(credential))
        if known is None:
            raise Unauthenticated(_UNKNOWN)
        key, until = known
        if until is not None and self._clock() >= until:
            raise Unauthenticated(_EXPIRED)
        return _identity(key), until

    # API keys

    def know_key(self, key: ApiKey, former: Iterable[FormerSecret] = ()) -> None:
        """Accept the key as it is now, and what it was before for as long as that holds; a revoked one not at all."""
        if key.revoked_at is not None:
            self.forget_key(key.id)
            return
        self._forget_secrets(key.id)
        self._max_running[key.id] = key.max_running
        expires = parse(key.expires_at) if key.expires_at else None
        self._keys[key.hash] = key, expires
        for each in former:
            until = parse(each.valid_until)
            self._keys[each.hash] = key, min(until, expires) if expires else until

    def forget_key(self, key_id: str) -> None:
        """Accept the key no more, from the next request on."""
        self._forget_secrets(key_id)
        self._max_running.pop(key_id, None)

    def _forget_secrets(self, key_id: str) -> None:
        for hashed in [hashed for hashed, (key, _) in self._keys.items() if key.id == key_id]:
            del self._keys[hashed]
        self._cache.clear()

    def max_running(self, identity: Identity) -> int | None:
        """How many tasks the caller's key may run at once now; for a key that is gone, when it was identified.

        May be called from any thread.
        """
        return None if identity.key_id is None else self.limit_now(identity.key_id, identity.max_running)

    def limit_now(self, key_id: str, otherwise: int | None) -> int | None:
        """How many tasks of a key may run at once now; `otherwise` for one that is gone. From any thread."""
        return self._max_running.get(key_id, otherwise)

    def other_admins(self, key_id: str, at: datetime | None = None) -> bool:
        """Whether an admin key besides this one is good now, or will still be `at` that time."""
        now = at or self._clock()
        return any(
            key.role == Role.ADMIN and key.id != key_id and (until is None or now < until)
            for key, until in self._keys.values()
        )

    def tags_of(self, key_id: str | None) -> tuple[tuple[str, str], ...]:
        """The tags that a key which is good now asks of nodes."""
        return next((key.node_tags for key, _ in self._keys.values() if key.id == key_id), ())

    def webhook_secret(self, webhook_id: str) -> str:
        """What signs a webhook's deliveries; derived, so that it is stored nowhere."""
        return self._signing.webhook_secret(webhook_id)

    def fingerprint(self, text: str) -> str:
        """What tells one text from another and says nothing of either to a reader of qb.db."""
        return self._signing.fingerprint(text)

    # nodes

    def node_key(self, node_id: str, version: int) -> str:
        """The key of a node; derived, so that it need not be stored to be presented to a push node."""
        return self._signing.node_key(node_id, version)

    def current_key(self, node_id: str) -> str | None:
        """The key that the node holds now; None for a node that is not known."""
        keys = self._nodes.get(node_id)
        return None if keys is None else self.node_key(node_id, keys.newest)

    def know_node(self, node_id: str, version: int, *, oldest: int | None = None, until: str | None = None) -> None:
        """Accept the node's keys from `oldest` (by default this version) on, those before `version` until `until`.

        Still older ones may only report from now on.
        """
        keys = _NodeKeys(version, version if oldest is None else oldest, parse(until) if until else None)
        if self._nodes.get(node_id) != keys:
            self._nodes[node_id] = keys
            self._cache.clear()

    def forget_node(self, node_id: str) -> None:
        """Accept no key of the node any more."""
        if self._nodes.pop(node_id, None) is not None:
            self._cache.clear()

    def _node(self, credential: str) -> Verified:
        found = self._signing.read_node_key(credential)
        known = self._nodes.get(found[0]) if found else None
        if found is None or known is None:
            raise Unauthenticated(_UNKNOWN)
        node_id, version = found
        # A later version than the one known is genuine too: the database was restored from a backup.
        current, until = version >= known.newest, None
        if not current and version >= known.oldest:
            current = known.until is None or self._clock() < known.until
            until = known.until if current else None
        return Identity(Caller.NODE, node_id, key_version=version, current=current, name=f"node {node_id}"), until

    # agents

    def task_token(self, task_id: str, attempt: int, *, lifetime: float | None, now: datetime) -> str:
        """A token for the agent of one attempt, good for `lifetime` seconds (None: no end)."""
        expires = None if lifetime is None else int((now + timedelta(seconds=lifetime)).timestamp())
        return self._signing.task_token(task_id, attempt, expires)

    def _task(self, credential: str) -> Verified:
        found = self._signing.read_task_token(credential)
        if found is None:
            raise Unauthenticated("the task token is not genuine: use the one of NODE_API_KEY")
        task_id, attempt, expires = found
        until = None if expires is None else datetime.fromtimestamp(expires, UTC)
        if until is not None and self._clock() >= until:
            raise Unauthenticated("the task token has expired: the task's time is over")
        return Identity(Caller.AGENT, task_id=task_id, attempt=attempt, name=f"task {task_id}"), until


def _identity(key: ApiKey) -> Identity:
    return Identity(
        Caller(key.role),
        key_id=key.id,
        name=key.name,
        scopes=frozenset(map(Scope, key.scopes)),
        node_patterns=key.node_patterns,
        node_tags=key.node_tags,
        rate_limit=key.rate_limit,
        max_running=key.max_running,
    )
