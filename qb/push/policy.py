"""Which addresses a push node may have."""

from dataclasses import dataclass
from ipaddress import ip_address

from qb.domain.destinations import Policy, kind_of, plain
from qb.domain.errors import RefusedDestination


@dataclass(frozen=True, slots=True)
class NodePolicy(Policy):
    """An admin vouches for a node's address, so private networks are fine; what no node can be is not.

    Link-local and metadata addresses are always refused, this machine's own unless `loopback`.
    """

    loopback: bool = False

    def check(self, address: str, *, host: str) -> None:
        """Raises RefusedDestination for an address that `host` stands for and that may not be connected to."""
        found = plain(ip_address(address))
        kind = kind_of(found)
        if found.is_loopback and self.loopback:
            return
        if kind is None or (
            found.is_private and not (found.is_loopback or found.is_link_local or found.is_unspecified)
        ):
            return
        mend = "; start `qb serve` with --loopback-nodes to allow it" if found.is_loopback else ""
        raise RefusedDestination(f"{host} leads to {found}, {kind}: no node is there{mend}")
