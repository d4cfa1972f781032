"""Where the server may connect to on somebody's word: webhooks, push nodes. Pure rules; nothing is looked up here.

Such an address is a way to make the server speak to what only it can reach: its own loopback, the private network
around it, a cloud's metadata service. So nothing is allowed but the public internet and what a setting names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from qb.domain.errors import Invalid, RefusedDestination

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS = {"http": 80, "https": 443}
_EMBEDDING = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
_METADATA = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.192/32"))
"""Metadata services at addresses that look public."""

_SPECIAL = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_PUBLIC_IPV6 = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class Destination:
    """An http or https URL taken apart. `target` is path and query, as a request line has it."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str) -> "Destination":
        """Raises Invalid, with the reason, for what is no plain http or https URL."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Invalid(f"{url[:200]!r} is no URL ({error}): write for example https://example.org/hook") from error
        if parts.scheme not in PORTS or not parts.hostname:
            raise Invalid(f"{url[:200]!r} is no http or https URL: write for example https://example.org/hook")
        if parts.username is not None or parts.password is not None:
            raise Invalid("a URL here must hold no user name or password: it is shown and logged; leave them out")
        if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url) or not url.isascii():
            raise Invalid("the URL holds blanks, control or non-ASCII characters: percent-encode them")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, parts.hostname, PORTS[parts.scheme] if port is None else port, target)

    @property
    def authority(self) -> str:
        """Host and port, as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: str) -> str:
        """The URL with `address` in place of the host's name."""
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.target}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which addresses may be connected to: public ones, and those in `allowed`."""

    allowed: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> "Policy":
        """From text such as ``10.0.0.0/8`` or ``192.0.2.7``. Raises Invalid."""
        found = []
        for text in networks:
            try:
                found.append(ip_network(text, strict=False))
            except ValueError as error:
                raise Invalid(f"{text!r} is no network: write for example 10.20.0.0/16 or 192.0.2.7") from error
        return cls(tuple(found))

    def check(self, address: str, *, host: str) -> None:
        """Raises RefusedDestination for an address that `host` stands for and that may not be connected to."""
        found = plain(ip_address(address))
        if any(found.version == network.version and found in network for network in self.allowed):
            return
        kind = kind_of(found)
        if kind is not None:
            raise RefusedDestination(
                f"{host} leads to {found}, {kind}: the server connects to public addresses only, unless a setting "
                "allows this network"
            )


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries within it, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _EMBEDDING) and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def kind_of(address: Address) -> str | None:
    """What an address is that is not public, in words; None for a public one."""
    address = plain(address)
    if any(address in network for network in _METADATA if network.version == address.version):
        return "a metadata service"
    for found, words in (
        (address.is_unspecified, "this machine itself"),
        (address.is_loopback, "this machine itself"),
        (address.is_link_local, "a link-local address, as metadata services have"),
        (address.is_multicast, "a multicast address"),
        (not address.is_global or address.is_reserved or _special(address), "a private or reserved address"),
    ):
        if found:
            return words
    return None


def _special(address: Address) -> bool:
    """What Python's own tables call global and IANA does not."""
    if isinstance(address, IPv6Address):
        return address not in _PUBLIC_IPV6
    return any(address in network for network in _SPECIAL)
