"""Complaints about the orchestrator, each made once: a loop that fails every second must not fill the log."""

import structlog

from qb.client import ClientError, Refused

log = structlog.get_logger()


class Trouble:
    """Logs `text` with the first error of a kind, and that it is over."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kind: object = None

    def note(self, error: ClientError) -> None:
        """Something failed."""
        kind = (type(error), error.status) if isinstance(error, Refused) else type(error)
        if kind != self._kind:
            self._kind = kind
            log.warning(self._text, error=str(error))

    def over(self) -> None:
        """It worked."""
        if self._kind is not None:
            self._kind = None
            log.info("the orchestrator answers again")
