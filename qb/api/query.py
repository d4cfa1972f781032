"""Values from the query of a request, checked."""

from falcon.asgi import Request

from qb.domain.errors import Invalid

NO_CURSOR = (1 << 62) - 1
"""Above every id and every cursor."""


def whole(req: Request, name: str, *, default: int, low: int, high: int) -> int:
    """A whole number from the query. Raises Invalid."""
    text = req.get_param(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or not low <= int(text) <= high:
        raise Invalid(f"{name}: {text[:20]!r} is no whole number from {low} to {high}")
    return int(text)
