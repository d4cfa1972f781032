"""Keeps a process small: what its libraries load where it is there, and do without where it is not, can stay out."""

import sys
from collections.abc import Iterable


def leave_out(names: Iterable[str]) -> None:
    """Bar the import of these modules from now on; one that is loaded already stays.

    A None among the loaded modules bars an import (the language reference, "The module cache").
    """
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
