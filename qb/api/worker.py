"""gunicorn's one worker: uvicorn on uvloop and httptools, without what is not needed."""

import asyncio
import gc
import socket
import sys
from typing import Any

from gunicorn.arbiter import Arbiter
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from qb.api.connections import OLD_WORKER_SECONDS, connection_limit
from qb.api.protocol import Protocol

YOUNG_OBJECTS = (10_000, 20, 50)
"""Thresholds of the garbage collector: a request makes hardly any cycles, so that it need not look often."""


class Worker(UvicornWorker):
    """Serves the application of qb.api.app."""

    CONFIG_KWARGS: dict[str, Any] = {  # noqa: RUF012 - the base class reads it so
        "loop": "uvloop",
        "http": Protocol,
        "ws": "none",
        "interface": "asgi3",
        "lifespan": "on",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_graceful_shutdown": OLD_WORKER_SECONDS - 1,
    }

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        self.config.limit_concurrency = connection_limit()
        server = _Server(self.config)
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


class _Server(Server):
    """Tells the application first that it is to stop: long polls and streams end, and nobody waits for them."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there by now stays: a collection that walks it all is a pause of 50 ms for every client.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*YOUNG_OBJECTS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.lifespan.begin_stop()  # type: ignore[union-attr]
        await asyncio.sleep(0)
        await super().shutdown(sockets)
