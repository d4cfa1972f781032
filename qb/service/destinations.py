"""Look a destination up, check where it leads, and connect to just the address that was checked.

A name may resolve to something else the next time it is asked for; so the answer that was checked is the one that is
used, and the name goes along only where it belongs: in the Host header and in the TLS handshake.
"""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Any

from qb.domain.destinations import Destination, Policy
from qb.domain.errors import Unreachable

RESOLVE_SECONDS = 5.0
ADDRESSES = 8
"""Addresses of one name that are kept; who has more will be found at these."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """What httpx2 needs to speak to `address` in the name of the destination's host.

    ``client.request(method, pinned.url, headers={**yours, **pinned.headers}, extensions=pinned.extensions)``, with a
    client that follows no redirects and takes no proxy from the environment (`follow_redirects=False`,
    `trust_env=False`): either would lead elsewhere.
    """

    address: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)


async def pin(url: str, policy: Policy, *, seconds: float = RESOLVE_SECONDS) -> list[Pinned]:
    """Every address that the URL's host has, in the resolver's order, each allowed by `policy`.

    Raises Invalid for what is no URL, RefusedDestination when any of the addresses is not allowed, and Unreachable when
    the name is not found within `seconds`.
    """
    destination = Destination.parse(url)
    found = await _resolve(destination, seconds)
    for address in found:
        policy.check(address, host=destination.host)
    extensions = {"sni_hostname": destination.host} if destination.scheme == "https" else {}
    return [
        Pinned(address, destination.at(address), {"Host": destination.authority}, extensions)
        for address in found[:ADDRESSES]
    ]


async def _resolve(destination: Destination, seconds: float) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            answers = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        # a time-out is an OSError, too
        reason = getattr(error, "strerror", None) or f"no answer within {seconds:g} s"
        raise Unreachable(f"{destination.host} cannot be looked up ({reason}): check the name") from error
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))
