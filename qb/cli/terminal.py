"""Text for terminals: what an agent wrote is shown, never obeyed."""

import re
import shutil
import sys
from typing import TextIO

_C1_AND_BIDI = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_ACTIVE = re.compile(f"[\x00-\x08\x0b-\x1f{_C1_AND_BIDI}]")
_ACTIVE_JSON = re.compile(f"[{_C1_AND_BIDI}]")
_BREAKS = re.compile(r"\s+")


def inert(text: str) -> str:
    """`text` with control, direction and surrogate characters made visible; line breaks and tabs stay."""
    return _ACTIVE.sub(_picture, text.replace("\r\n", "\n")) if _ACTIVE.search(text) else text


def one_line(text: str) -> str:
    """`text` made inert and put on one line."""
    return inert(_BREAKS.sub(" ", text).strip())


def inert_json(document: str) -> str:
    """A JSON or YAML document with what may steer a terminal as escapes, which mean the same."""
    return _ACTIVE_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", document)


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person looks at `stream` (stdout when not given)."""
    return (stream or sys.stdout).isatty()


def columns() -> int:
    """Width of the terminal; 80 where nothing tells."""
    return shutil.get_terminal_size((80, 24)).columns


def width(text: str) -> int:
    """Cells that `text` takes; East Asian characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, room: int) -> str:
    """`text` in at most `room` cells, ending in … when something is left out."""
    if width(text) <= room:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, max(room - 1, 0)).rstrip() + "…"


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
