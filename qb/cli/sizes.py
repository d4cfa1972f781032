"""Sizes as people type them."""

import re

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SHAPE = re.compile(r"(\d{1,15})([kmgt]?)(?:i?b)?", re.ASCII)


def bytes_of(text: str) -> int:
    """Bytes of ``512M``, ``2G``, ``1 GiB`` or plain ``4096``; units count by 1024. Raises ValueError else."""
    found = _SHAPE.fullmatch("".join(text.split()).lower())
    total = int(found[1]) * _UNITS[found[2]] if found else 0
    if not total:
        raise ValueError(f"{text!r} is no size: write for example 512M or 2G (a number alone is bytes)")
    return total


def written(count: int) -> str:
    """``16M``: as `bytes_of` reads it, in the largest unit that leaves no rest."""
    for unit, size in reversed(_UNITS.items()):
        if count and count % size == 0:
            return f"{count // size}{unit.upper()}"
    return str(count)
