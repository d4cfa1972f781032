"""Keys and tokens as requests carry them: in a header, so in one line of visible ASCII."""

NO_KEY = "holds characters that no key has: copy it again, without quotes or line breaks"


def can_be_sent(value: str) -> bool:
    """Whether a request can carry this as a key or token; NO_KEY says why not, without showing it."""
    return all("!" <= character <= "~" for character in value)
