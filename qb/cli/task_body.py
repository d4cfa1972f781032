"""What the options of `qb task create` make of a request."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qb.cli.exits import CliError, Exit

if TYPE_CHECKING:
    from qb.contract.tasks import TaskCreate

_FIELDS = {
    "prompt": "PROMPT",
    "title": "--title",
    "target_node_id": "--node",
    "target_node_name": "--to",
    "target_tags": "--tag",
    "capabilities": "--capability",
    "priority": "--priority",
    "timeout_seconds": "--timeout",
    "files": "--file",
    "max_attempts": "--max-attempts",
    "backoff_seconds": "--backoff",
    "retry_on": "--retry-on",
    "queue_timeout_seconds": "--expires-in",
    "scheduled_for": "--at",
    "recurrence": "--cron",
    "time_zone": "--time-zone",
    "missed_runs": "--missed-runs",
    "depends_on": "--after",
    "on_failure": "--on-failure",
    "each": "--each",
    "image": "--image",
    "env": "--env",
    "needs": "--needs",
    "limits.memory_mb": "--memory",
    "limits.cpus": "--cpus",
    "limits.pids": "--pids",
}
"""Which option gives which field."""


def limits_of(memory: int | None, cpus: float | None, pids: int | None) -> dict[str, Any] | None:
    """What the container may use; `memory` in bytes. None for no limits."""
    given = {"memory_mb": None if memory is None else memory >> 20, "cpus": cpus, "pids": pids}
    return {name: value for name, value in given.items() if value is not None} or None


def prompt_of(given: str) -> str:
    """The prompt; - reads it from stdin. Raises CliError."""
    import sys

    if given != "-":
        return given
    try:
        # twice the longest prompt: enough for the refusal to name a size
        return sys.stdin.buffer.read(1 << 18).decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise CliError(f"the prompt on stdin is not UTF-8: {error}", "convert it with iconv", Exit.USAGE) from error


def body_of(given: dict[str, Any], paths: list[Path]) -> "TaskCreate":
    """The body of the request, before its files are sent. Raises CliError, naming the option."""
    from qb.cli.refusals import checked
    from qb.contract.tasks import GroupCreate, TaskCreate

    for path in paths:
        if not path.is_file():
            reason = "is not a file" if path.exists() else "does not exist"
            raise CliError(f"--file: {path} {reason}", "name a file that can be read", Exit.USAGE)
    model = GroupCreate if "each" in given else TaskCreate
    with checked(_FIELDS):
        # the names are checked before anything is sent; the server's own names replace them
        return model(**given, files=[path.name for path in paths] or None)
