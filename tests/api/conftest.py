"""The application in this process: no sockets, a real data directory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

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


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """The whole application over a fresh data directory."""
    made = initialise(tmp_path / "qb", now=utc_now())
    settings = Settings(data_dir=tmp_path / "qb", url="http://test", agent_url="http://test")
    app = create_app(settings)
    await app.lifespan.process_startup({}, {})
    assert app.lifespan.core is not None
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Running(app, app.lifespan.core, made, http)
    await app.lifespan.process_shutdown({}, {})
