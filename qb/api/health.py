"""Whether the server is up and fit for work, what it runs, and where the dashboard is."""

import asyncio
import shutil
import sqlite3

from falcon import HTTPFound
from falcon.asgi import Request, Response

from qb import __version__
from qb.api.media import reply
from qb.contract.fleet import Health, Version
from qb.contract.states import WIRE
from qb.domain.errors import NotFound, QuarterbackError
from qb.service.core import Core
from qb.store import epochs

CHECK_SECONDS = 2.0
LEAST_FREE = 64 << 20
"""Bytes that must be free on the data directory's disk."""

OK = "ok"


class HealthResource:
    """GET /health and /healthz: 200 as long as the process answers; `checks` says how it fares."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response) -> None:
        """Say how the process fares; 200 as long as it answers."""
        checks = await check(self._core)
        reply(resp, Health(status=_status(checks), version=__version__, checks=checks))


class ReadyResource:
    """GET /readyz: 200 when every check passes, else 503."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def on_get(self, req: Request, resp: Response) -> None:
        """Say whether it is fit for work: 200 when every check passes, else 503."""
        checks = await check(self._core)
        status = _status(checks)
        if status != OK:
            resp.set_header("Retry-After", "1")
        reply(resp, Health(status=status, version=__version__, checks=checks), 200 if status == OK else 503)


class VersionResource:
    """GET /version."""

    async def on_get(self, req: Request, resp: Response) -> None:
        """Say what runs here, and which wire versions it speaks."""
        reply(resp, Version(version=__version__, wire=WIRE))


class DashboardResource:
    """GET /dashboard: on to Datasette."""

    def __init__(self, core: Core) -> None:
        self._url = core.settings.dashboard_url

    async def on_get(self, req: Request, resp: Response) -> None:
        """Lead on to the dashboard."""
        if self._url is None:
            raise NotFound("no dashboard is set up here: serve with --dashboard-url")
        raise HTTPFound(self._url)


async def check(core: Core) -> dict[str, str]:
    """Look at each part; the value is "ok" or what is wrong with it."""
    if core.stopping.is_set():
        return {"server": "stopping"}
    reads, writes = await asyncio.gather(_reads(core), _writes(core))
    return {"database": reads, "writer": writes, "disk": _disk(core), "background": _background(core)}


def _status(checks: dict[str, str]) -> str:
    return OK if all(found == OK for found in checks.values()) else "degraded"


async def _reads(core: Core) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await core.readers.run(epochs.current)
    except (sqlite3.Error, TimeoutError, RuntimeError) as error:
        return f"cannot be read: {error or 'no answer'}"
    return OK


async def _writes(core: Core) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await core.writer.run(lambda db: None)
    except (sqlite3.Error, TimeoutError, QuarterbackError) as error:
        return f"does not write: {error or 'no answer'}"
    return OK


def _background(core: Core) -> str:
    dead = ", ".join(f"{name} ({error})" for name, error in core.died.items())
    return f"died: {dead}: restart the server, the log says why" if dead else OK


def _disk(core: Core) -> str:
    free = shutil.disk_usage(core.settings.data_dir).free
    return OK if free >= LEAST_FREE else f"only {free >> 20} MiB free: make room"
