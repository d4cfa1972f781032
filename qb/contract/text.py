"""Text types and limits shared by the models: what a name, a message or a prompt may hold.

Lone surrogates are refused by pydantic itself; NUL, which SQLite and argument lists cannot carry, is
refused here.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StringConstraints

PROMPT_BYTES = 131_071
"""The longest prompt: Linux takes no longer single argument (MAX_ARG_STRLEN, 128 KiB with its NUL)."""

MESSAGE_CHARS = 10_000
"""A longer status message is cut, not refused: old reporters never retry."""

FILE_NAME_BYTES = 255
ID_CHARS = 64

NO_NUL = r"^[^\x00]*$"
NO_CONTROL = r"^[^\x00-\x1f\x7f]+$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@+-]{0,510}")
"""[HOST[:PORT]/]PATH[:TAG][@DIGEST], as container tools write it; a leading dash would be read as an option."""

_UNSAFE_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")
_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")


def scrubbed(text: str) -> str:
    """Text from a container's output or transcript, with what SQLite cannot hold shown as U+FFFD."""
    return _UNPRINTABLE.sub("�", text) if _UNPRINTABLE.search(text) else text


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MESSAGE_CHARS:
        return value[: MESSAGE_CHARS - 1] + "…"
    return value


def _whole(value: Any) -> Any:
    return round(value) if isinstance(value, float) and 0 <= value <= 100 else value


def _prompt(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty: say what the agent should do")
    size = len(value.encode())
    if size > PROMPT_BYTES:
        raise ValueError(f"is {size} bytes; at most {PROMPT_BYTES} fit: attach the rest as a file")
    return value


def check_file_name(value: str) -> str:
    """Return `value` when it can be the name of a file in one folder; raise ValueError when not."""
    if value in ("", ".", "..") or _UNSAFE_NAME.search(value):
        raise ValueError("must be a plain file name: no separators, control characters or line breaks")
    if len(value.encode()) > FILE_NAME_BYTES:
        raise ValueError(f"is longer than {FILE_NAME_BYTES} bytes")
    return value


def lowered(text: str) -> str:
    """A to Z in small letters and no others, as SQLite's lower() has it: what a search looks for with its instr()."""
    return "".join(each.lower() if each.isascii() else each for each in text)


def _image(value: str) -> str:
    if not IMAGE.fullmatch(value):
        raise ValueError("is no image reference: write for example ghcr.io/acme/agent:1.2, or leave it out")
    return value


def _scrub(value: Any) -> Any:
    return scrubbed(value) if isinstance(value, str) else value


Text = Annotated[str, StringConstraints(max_length=4096, pattern=NO_NUL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_CONTROL)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=ID_CHARS, pattern=NO_NUL)]
Message = Annotated[str, StringConstraints(pattern=NO_NUL), BeforeValidator(_cut)]
Prompt = Annotated[str, StringConstraints(pattern=NO_NUL), AfterValidator(_prompt)]
FileName = Annotated[str, AfterValidator(check_file_name)]
Image = Annotated[str, AfterValidator(_image)]
Scrubbed = Annotated[str, BeforeValidator(_scrub)]
Progress = Annotated[int, BeforeValidator(_whole)]
Tags = dict[Name, Text]
EnvName = Annotated[str, StringConstraints(max_length=255, pattern=ENV_NAME)]
EnvValue = Annotated[str, StringConstraints(max_length=32_768, pattern=NO_NUL)]
