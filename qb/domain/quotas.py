"""How much one control plane stores, in bytes, and how long what nobody uses."""

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Quotas:
    """What is refused, or cut in the case of output, when it would be more."""

    file: int = GIB
    """The largest single file or artifact."""

    task: int = 4 * GIB
    """The files attached to one task, and again the artifacts that it leaves."""

    total: int = 64 * GIB
    """All file contents together, each counted once."""

    output: int = 256 * MIB
    """What one task prints, over all its attempts."""

    unused: int = 24 * 3600
    """Seconds that an upload waits for a task to use it."""


def human(size: int) -> str:
    """``256 MiB``: a size in the largest unit that keeps it whole enough."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size} bytes"
