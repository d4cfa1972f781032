"""Waits for room on the journal's disk, with what cannot be left out."""

import threading
from collections.abc import Callable

import structlog

from remote_runner.backoff import Backoff
from remote_runner.container import Stopped
from remote_runner.journal_file import NoRoom

LONGEST_WAIT = 15.0
log = structlog.get_logger()


def when_there_is_room(write: Callable[[], None], stop: threading.Event) -> None:
    """Write into the journal, for as long as its disk is full. Raises Stopped."""
    backoff = Backoff(LONGEST_WAIT)
    told = False
    while True:
        try:
            write()
        except NoRoom as error:
            if not told:
                log.error("the node's disk is full: make room, and it goes on by itself", error=str(error))
                told = True
        else:
            return
        if stop.wait(backoff.next()):
            raise Stopped
