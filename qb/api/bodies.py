"""Request bodies as streams of chunks that say so when they break off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from falcon.asgi import Request

from qb.domain.errors import Malformed


async def chunks(req: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Malformed when the client goes away before its end.

    falcon takes a lost connection for the end of the body, so the length is compared; a body without one is sound
    when the client is still there.
    """
    size, announced = 0, req.content_length
    async for chunk in req.stream:
        size += len(chunk)
        yield chunk
    if announced is None:
        if await _gone(req.scope["qb.receive"]):
            raise Malformed(f"the body broke off after {size} bytes: send it again")
    elif size != announced:
        raise Malformed(f"the body broke off after {size} of {announced} bytes: send it again")


async def _gone(receive: Any) -> bool:
    """Whether the connection is known to be lost: then the next message is there at once."""
    probe = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    if probe.done():
        return bool(probe.result()["type"] == "http.disconnect")
    probe.cancel()
    with suppress(asyncio.CancelledError):
        await probe
    return False
