"""Asks the orchestrator what an attempt cannot go on without, for as long as it takes."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from qb.client import ClientError, Refused
from qb.contract.states import Reason
from remote_runner.backoff import Backoff
from remote_runner.container import Stopped
from remote_runner.tools import Tools
from remote_runner.verdict import Failure

LONGEST_WAIT = 15.0
_T = TypeVar("_T")


class Asked:
    """Calls of one attempt; `check` comes before each try and may raise, `log` is the attempt's."""

    def __init__(self, tools: Tools, check: Callable[[], None], log: Any) -> None:
        self._tools = tools
        self._check = check
        self._log = log

    def patiently(self, call: Callable[[], _T], patience: float = float("inf")) -> _T:
        """Call until there is an answer. Raises Refused when it is no, Failure when patience ends, Stopped."""
        backoff = Backoff(min(LONGEST_WAIT, self._tools.config.poll_interval))
        since, told = time.monotonic(), ""
        while True:
            if self._tools.stop.is_set():
                raise Stopped
            self._check()
            key = self._tools.membership.key
            try:
                return call()
            except ClientError as error:
                if isinstance(error, Refused) and error.status == 401:
                    self._tools.membership.renew(key)
                elif isinstance(error, Refused) and not error.transient:
                    raise
                if str(error) != told:
                    told = str(error)
                    self._log.warning("the orchestrator does not answer; trying again", error=told)
            if time.monotonic() - since > patience:
                raise Failure(Reason.FILE_UNAVAILABLE, told)
            self._tools.stop.wait(backoff.next())
