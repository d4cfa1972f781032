"""What the scripts of the model are made of, and how a task's end is told."""

from qb.client import QbClient
from qb.contract.states import Reason, TaskStatus
from qb.contract.tasks import Task
from tests.agent.model import Call, calls

STARTED = calls(Call("status_report_started", {"message": "reading"}))
COMPLETE = calls(Call("status_report_complete", {"message": "the outcome"}))


def shell(command: str) -> Call:
    """A call of the agent's own tool that runs commands."""
    return Call("bash", {"command": command, "description": "work"})


def verdicts(task: Task) -> tuple[TaskStatus, Reason | None, str | None, int | None]:
    """How a task ended: the state, the reason, what the agent said, what the runner saw."""
    return task.status, task.reason, task.agent_status, task.exit_code


def agent_messages(client: QbClient, task_id: str) -> list[str]:
    """What the agent has reported and attached, in order."""
    return [event.message or "" for event in client.task_events(task_id) if event.source == "agent"]
