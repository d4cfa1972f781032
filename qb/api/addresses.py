"""Where a request comes from: the connection's other end, or what a proxy that we trust says of it."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from falcon.asgi import Request

from qb.domain.errors import Invalid

Network = IPv4Network | IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and CIDR blocks. Raises Invalid, naming the one that cannot be read."""
    found = []
    for text in texts:
        try:
            found.append(ip_network(text))
        except ValueError as error:
            raise Invalid(f"{text[:60]!r} is no address or CIDR block: write for example 10.0.0.0/8") from error
    return tuple(found)


def client_address(req: Request, trusted: Sequence[Network]) -> str | None:
    """The client's address; None where there is none to know, as on a socket in the file system.

    X-Forwarded-For is read from its end, and only as far as proxies in `trusted` have written it.
    """
    client = req.scope.get("client")
    address: str | None = client[0] if client else None
    if not trusted or address is None or not _within(address, trusted):
        return address
    for part in reversed((req.get_header("X-Forwarded-For") or "").split(",")):
        hop = _address(part)
        if hop is None:
            return address
        address = hop
        if not _within(address, trusted):
            return address
    return address


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return None


def _within(address: str, networks: Sequence[Network]) -> bool:
    try:
        known = ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in networks)
