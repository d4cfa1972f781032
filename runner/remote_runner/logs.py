"""What the runner logs: one line each on standard error, with the task's id, for journald or for a person."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(environ: Mapping[str, str] = os.environ) -> None:
    """Log to standard error; under systemd with journald's priorities, and without the time that it notes itself."""
    journald = "JOURNAL_STREAM" in environ
    stamp: Any = _drop_nothing if journald else structlog.processors.TimeStamper(fmt="iso", utc=True)
    line = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event", "task"], drop_missing=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            _Prioritised(line) if journald else line,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class _Prioritised:
    """Puts sd-daemon's ``<N>`` before the line, from which journald takes the priority."""

    def __init__(self, line: structlog.processors.LogfmtRenderer) -> None:
        self._line = line

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        priority = PRIORITIES.get(str(event.get("level")), 6)
        return f"<{priority}>{self._line(logger, name, event)}"


def _drop_nothing(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return event
