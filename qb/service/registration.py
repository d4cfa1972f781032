"""Registration tokens: which machines may join."""

from collections.abc import Iterable

from qb.domain.errors import RegistrationOff, Unauthenticated
from qb.domain.times import Clock, parse
from qb.service.secrets import MAX_CREDENTIAL, digest
from qb.store.registration_tokens import RegistrationToken


class Registration:
    """Every registration token the server accepts, in memory."""

    def __init__(self, clock: Clock, tokens: Iterable[RegistrationToken] = ()) -> None:
        self._clock = clock
        self._tokens = {token.hash: token for token in tokens}

    @property
    def on(self) -> bool:
        """Whether any token could let a node in."""
        return any(self._valid(token) for token in self._tokens.values())

    def know(self, token: RegistrationToken) -> None:
        """Accept a token."""
        self._tokens[token.hash] = token

    def forget(self, token_id: str) -> None:
        """Accept the token no more."""
        for hashed in [hashed for hashed, token in self._tokens.items() if token.id == token_id]:
            del self._tokens[hashed]

    def identify(self, token: str) -> RegistrationToken:
        """The token itself. Raises Unauthenticated, or RegistrationOff when none is valid."""
        known = self._tokens.get(digest(token)) if len(token) <= MAX_CREDENTIAL and token.isascii() else None
        if known is not None and self._valid(known):
            return known
        if not self.on:
            raise RegistrationOff("registration is off: make a registration token first")
        reason = "is not known" if known is None else "has expired"
        raise Unauthenticated(f"the registration token {reason}: ask the operator for one")

    def by_id(self, token_id: str | None) -> RegistrationToken | None:
        """The valid token of that id (`Identity.key_id`), if there still is one."""
        found = (token for token in self._tokens.values() if token.id == token_id and self._valid(token))
        return next(found, None)

    def _valid(self, token: RegistrationToken) -> bool:
        return token.expires_at is None or self._clock() < parse(token.expires_at)
