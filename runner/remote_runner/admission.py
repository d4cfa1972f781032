"""What of an assignment cannot be: found before anything is done with it."""

import re
from uuid import UUID

from qb.contract.tasks import Assignment
from qb.contract.text import PROMPT_BYTES

# [HOST[:PORT]/]PATH[:TAG][@DIGEST], as container tools write it; a leading dash would be read as an option
_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@+-]{0,510}")
_VARIABLE = re.compile(r"[^=\x00\s][^=\x00]*")


def is_task_id(text: str) -> bool:
    """Whether the id is a UUID in its usual form: it names folders and containers."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def objection(assignment: Assignment) -> str | None:
    """Why the assignment must not be run; None when it may."""
    if not is_task_id(assignment.task_id):
        return f"{assignment.task_id!r} is no UUID, and so no task's id"
    if "\x00" in assignment.prompt:
        return "the prompt holds a NUL character, which no argument of a program can"
    size = len(assignment.prompt.encode("utf-8", "surrogatepass"))
    if size > PROMPT_BYTES:
        return f"the prompt has {size} bytes, an argument of a program at most {PROMPT_BYTES}"
    if assignment.image is not None and not _IMAGE.fullmatch(assignment.image):
        return f"{assignment.image!r} is no image reference"
    for name, value in (assignment.env or {}).items():
        if not _VARIABLE.fullmatch(name) or "\x00" in value:
            return f"{name!r} cannot be set as a variable: names hold no '=', and neither holds NUL"
    return None
