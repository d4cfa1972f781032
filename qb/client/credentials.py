"""Refuses what no request can carry as a key or token, before one is made of it."""

from qb.client.errors import BadCredential
from qb.contract.credentials import NO_KEY, can_be_sent


def check(value: str, what: str) -> str:
    """`value` as it is. Raises BadCredential, which calls it `what` and does not show it, for what no key can be."""
    if not can_be_sent(value):
        raise BadCredential(f"{what} {NO_KEY}")
    return value
