"""What of an assignment cannot be: found before anything is done with it."""

import re
from uuid import UUID

from qb.contract.tasks import Assignment
from qb.contract.text import IMAGE, PROMPT_BYTES

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
    if assignment.image is not None and not IMAGE.fullmatch(assignment.image):
        return f"{assignment.image!r} is no image reference"
    for name, value in (assignment.env or {}).items():
        if not _VARIABLE.fullmatch(name) or "\x00" in value:
            return f"{name!r} cannot be set as a variable: names hold no '=', and neither holds NUL"
    return None
