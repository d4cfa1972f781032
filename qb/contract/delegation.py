"""Tasks that other tasks ask for, on the wire: whose they are, and how far that may go."""

from pydantic import BaseModel, Field

from qb.contract.text import Id

MAX_DEPTH = 5
"""How many parents a task can have above it. The server allows no more, whatever a request says."""

MAX_TASKS = 100
"""Tasks that one task and those below it ask for at most."""


class Delegation(BaseModel):
    """The part of a new task that says which running task asks for it.

    The two limits are for this request, and may only be narrower than the server's own.
    """

    parent_task_id: Id | None = None
    max_depth: int | None = Field(default=None, ge=1, le=MAX_DEPTH)
    max_tasks: int | None = Field(default=None, ge=1, le=MAX_TASKS)
