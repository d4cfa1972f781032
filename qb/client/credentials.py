"""Keys and tokens as requests carry them: in a header, so in one line of ASCII."""

from qb.client.errors import BadCredential


def check(value: str, what: str) -> str:
    """`value` as it is. Raises BadCredential, which calls it `what` and does not show it, for what no key can be."""
    if any(not "!" <= character <= "~" for character in value):
        raise BadCredential(f"{what} holds characters that no key has: copy it again, without quotes or line breaks")
    return value
