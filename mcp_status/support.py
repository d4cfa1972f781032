"""Whether an orchestrator knows a route at all: older ones answer 404 or 405, as they do for a task they don't know."""

from typing import Any

from mcp_status.delivery import Receipt
from mcp_status.reporter import Reporter
from qb.client.errors import ClientError, Refused
from qb.contract.tasks import Task

NO_SUCH_METHOD = 405


def lacks_route(reporter: Reporter, receipt: Receipt[Any]) -> bool:
    """Whether the refusal in `receipt` says that the orchestrator is too old. May ask it for the task."""
    return lacks(reporter, receipt.status, ours=receipt.ours)


def lacks_route_after(reporter: Reporter, error: ClientError) -> bool:
    """Whether `error` says that the orchestrator is too old. May ask it for the task."""
    return isinstance(error, Refused) and lacks(reporter, error.status, ours=error.code is not None)


def lacks(reporter: Reporter, status: int | None, *, ours: bool) -> bool:
    """Whether an answer of `status` says so; `ours` is an answer that names its reason by a code."""
    if status == NO_SUCH_METHOD:
        return True
    if status != 404:
        return False
    # a younger one of ours knows the task, but not the route
    return not ours or isinstance(reporter.look_up(), Task)
