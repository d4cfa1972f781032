"""Draws the lifecycle into a Markdown page: ``python -m qb.domain.diagram docs/architecture.md``."""

import re
import sys
from pathlib import Path

from qb.domain.lifecycle import mermaid

_PLACE = re.compile(r"<!-- lifecycle -->.*?<!-- /lifecycle -->", re.DOTALL)


def draw(page: str) -> str:
    """The page with the diagram between its two marks."""
    return _PLACE.sub(lambda _: f"<!-- lifecycle -->\n```mermaid\n{mermaid()}```\n<!-- /lifecycle -->", page)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(draw(path.read_text("utf-8")), "utf-8")
