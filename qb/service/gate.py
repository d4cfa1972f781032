"""Lets a request in or refuses it: who is calling, what its key may do, whose task it names, and how often it asks."""

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from qb.contract.routes import Caller, Route
from qb.domain.errors import Forbidden, NotFound, RateLimited, Unauthenticated
from qb.service.core import Core
from qb.service.credentials import Identity
from qb.store import tasks

REPLACED_KEY_MAY = frozenset({"report_status", "report_session", "report_output", "put_artifact"})
"""What a node's replaced key is still good for: the surviving container carries it."""

_KINDS = {
    Caller.ADMIN: "an admin key",
    Caller.SCOPED: "a scoped API key",
    Caller.NODE: "a node's key",
    Caller.AGENT: "a task token",
    Caller.REGISTRATION: "a registration token",
}


def check_caller(route: Route, identity: Identity) -> None:
    """Refuse a kind of credential that the route does not take. Raises Forbidden or Unauthenticated."""
    if identity.caller not in route.callers:
        wanted = " or ".join(_KINDS[kind] for kind in sorted(route.callers))
        raise Forbidden(f"{_KINDS[identity.caller]} may not do this: it takes {wanted}")
    if not identity.current and route.name not in REPLACED_KEY_MAY:
        raise Unauthenticated("this node has registered again since: its older key may only report")
    if identity.caller is Caller.SCOPED and route.scope not in identity.scopes:
        raise Forbidden(f"this key lacks the scope {route.scope}: ask the operator for a key that has it")


class Gate:
    """Holds API keys to what they were given."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, identity: Identity) -> None:
        """Count a request of a key that may ask only so often. Raises RateLimited."""
        if identity.rate_limit is None or identity.key_id is None:
            return
        limit = RateLimitItemPerMinute(identity.rate_limit)
        if not self._limiter.hit(limit, identity.key_id):
            again = self._limiter.get_window_stats(limit, identity.key_id).reset_time - time.time()
            raise RateLimited(
                f"this key may ask {identity.rate_limit} times a minute: wait, or ask the operator for more",
                max(1, math.ceil(again)),
            )

    async def check_own(self, identity: Identity, task_id: str) -> None:
        """Hide from a scoped key the tasks of others. Raises NotFound, as for one that is not there."""
        owner = await self._core.readers.run(lambda db: tasks.created_by_key(db, task_id))
        if owner is None or owner != identity.key_id:
            raise NotFound(f"no task {task_id}")
