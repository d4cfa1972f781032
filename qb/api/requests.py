"""One look at each answer on its way out: it is counted, and told in the log when that is wanted."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import structlog
from falcon.asgi import Request, Response

from qb.api.errors import request_id
from qb.service.core import Core

log = structlog.get_logger("qb.api")


class Requests:
    """falcon middleware. `core` gives the Core once the server has started."""

    def __init__(self, core: Callable[[], Core | None], *, every: bool = False) -> None:
        self._core = core
        self._every = every

    async def process_response(self, req: Request, resp: Response, resource: Any, succeeded: bool) -> None:
        """Count the answer; tell of it when it is a refusal or a failure, or when every one is wanted."""
        seconds = perf_counter() - req.scope["qb.begun"]
        core = self._core()
        if core is None:
            return
        if core.stopping.is_set():
            # Who came in through the door as it closed must not stay: the connection ends with this answer.
            resp.set_header("Connection", "close")
        core.metrics.answered(req.method, req.uri_template, resp.status, seconds)
        if self._every or resp.status_code >= 400:
            _tell(req, resp.status_code, seconds)


def _tell(req: Request, status: int, seconds: float) -> None:
    identity = getattr(req.context, "identity", None)
    tell = log.info if status >= 400 else log.debug
    tell(
        "request",
        request_id=request_id(req),
        method=req.method,
        path=req.path,
        status=status,
        caller=identity.name or identity.caller.value if identity is not None else None,
        milliseconds=round(seconds * 1000, 1),
    )
