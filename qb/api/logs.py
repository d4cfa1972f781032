"""Log lines: one JSON object each, on stderr, from our own code, gunicorn and uvicorn alike."""

import logging
import sys
from typing import Any

import structlog
from gunicorn.glogging import Logger as GunicornBase

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def configure() -> None:
    """Set up logging for this process and its children."""
    structlog.configure(
        processors=[*_SHARED, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class GunicornLogger(GunicornBase):
    """gunicorn's and uvicorn's warnings and errors, in our form; no access log."""

    def setup(self, cfg: Any) -> None:
        formatter = structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
        )
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(formatter)
        self.error_log.handlers = [handler]
        self.error_log.propagate = False
        self.error_log.setLevel(logging.WARNING)
        self.access_log.handlers = []
        self.access_log.propagate = False
        self.access_log.setLevel(logging.CRITICAL)
