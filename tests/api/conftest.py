"""The application in this process: no sockets, a real data directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qb.api.app import create_app
from qb.api.asgi import Api
from qb.domain.times import utc_now
from qb.service.core import Core, Settings
from qb.service.setup import Initialised, initialise


@dataclass
class Running:
    """A started application, its parts, and HTTP to it without a credential."""

    app: Api
    core: Core
    made: Initialised
    http: httpx2.AsyncClient

    @property
    def admin(self) -> dict[str, str]:
        """Headers of the operator."""
        return {"X-API-Key": self.made.admin_key}


@asynccontextmanager
async def serving(data_dir: Path, made: Initialised | None = None, **settings: Any) -> AsyncIterator[Running]:
    """The whole application over a data directory, which is made unless `made` says how it was."""
    made = made or initialise(data_dir, now=utc_now())
    app = create_app(Settings(data_dir=data_dir, url="http://test", agent_url="http://test", **settings))
    await app.lifespan.process_startup({}, {})
    assert app.lifespan.core is not None
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Running(app, app.lifespan.core, made, http)
    await app.lifespan.process_shutdown({}, {})


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """The whole application over a fresh data directory."""
    async with serving(tmp_path / "qb") as running:
        yield running
