"""GET /metrics, in Prometheus' text form or as OpenMetrics."""

import hmac
from pathlib import Path

from falcon.asgi import Request, Response

from qb.domain.errors import Invalid, Unauthenticated
from qb.service.scrape import Scraper

LEAST_CHARS = 16


class MetricsResource:
    """Open to anyone, unless a key is set: then it takes ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``."""

    def __init__(self, scraper: Scraper, key: str | None) -> None:
        self._scraper = scraper
        self._key = None if key is None else key.encode()

    async def on_get(self, req: Request, resp: Response) -> None:
        """One scrape."""
        if self._key is not None and not hmac.compare_digest(_sent(req).encode(errors="replace"), self._key):
            raise Unauthenticated("metrics want their key: send it as Authorization: Bearer KEY, or in X-API-Key")
        resp.data, resp.content_type = await self._scraper.scrape(req.get_header("Accept") or "")


def metrics_key(path: Path | None) -> str | None:
    """The key that the file holds. Raises Invalid for a file that cannot be read, or a key that is too short."""
    if path is None:
        return None
    try:
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"the metrics key cannot be read from {path} ({error}): name a file with one line") from error
    if len(key) < LEAST_CHARS:
        raise Invalid(f"the metrics key in {path} is shorter than {LEAST_CHARS} characters: make one that is longer")
    return key


def _sent(req: Request) -> str:
    kind, _, key = (req.get_header("Authorization") or "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else req.get_header("X-API-Key") or ""
