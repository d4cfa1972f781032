"""Log lines: one JSON object each, on stdout, from our own code, gunicorn and uvicorn alike."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from gunicorn.glogging import Logger as GunicornBase

_CREDENTIAL = re.compile(r"qb([a-z])_[\w.-]{8,}")


def redact(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take credentials out of a line, wherever they got in: a path, an error's text, a traceback."""
    for key, value in entry.items():
        if isinstance(value, str) and "qb" in value:
            entry[key] = _CREDENTIAL.sub(r"qb\1_[redacted]", value)
    return entry


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
_LAST: list[Any] = [redact, structlog.processors.JSONRenderer()]


def configure() -> None:
    """Set up logging for this process and its children."""
    structlog.configure(
        processors=[*_SHARED, *_LAST],
        logger_factory=structlog.PrintLoggerFactory(sys.__stdout__),
        cache_logger_on_first_use=True,
    )


class GunicornLogger(GunicornBase):
    """gunicorn's and uvicorn's warnings and errors, in our form; no access log."""

    def setup(self, cfg: Any) -> None:
        formatter = structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_LAST],
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
        )
        handler = logging.StreamHandler(sys.__stdout__)
        handler.setFormatter(formatter)
        self.error_log.handlers = [handler]
        self.error_log.propagate = False
        self.error_log.setLevel(logging.WARNING)
        self.access_log.handlers = []
        self.access_log.propagate = False
        self.access_log.setLevel(logging.CRITICAL)
