"""How tasks, nodes and their parts look in tables."""

from datetime import datetime

from qb.cli.dialogue_views import waits
from qb.cli.durations import ago, span
from qb.cli.output import Column, joined
from qb.contract.nodes import Node
from qb.contract.questions import Question
from qb.contract.states import TaskStatus
from qb.contract.tasks import Artifact, Task, TaskEvent
from qb.contract.webhooks import Webhook


def _state(task: Task, now: datetime) -> str:
    if waits(task, now):
        return f"{task.status}, waits for an answer"
    if task.reason:
        return f"{task.status}: {task.reason}"
    return f"{task.status}, cancelling" if task.cancel_requested and task.status.live else str(task.status)


def _gist(task: Task) -> str:
    return task.title or task.prompt[:1000]


def _percent(progress: int | None) -> str:
    return "" if progress is None else f"{progress} %"


TASKS: tuple[Column[Task], ...] = (
    Column("ID", lambda task, _: task.id, short=True),
    Column("STATUS", lambda task, now: f"{task.status}, asks" if waits(task, now) else task.status),
    Column("REASON", lambda task, _: task.reason, wide=True),
    Column("DONE", lambda task, _: _percent(task.progress)),
    Column("NODE", lambda task, _: task.assigned_node_name, flexible=True),
    Column("CREATED", lambda task, now: ago(task.created_at, now)),
    Column("ENDED", lambda task, now: ago(task.completed_at, now), wide=True),
    Column("ATTEMPT", lambda task, _: f"{task.attempt}/{task.max_attempts}", wide=True),
    Column("PRIORITY", lambda task, _: task.priority, wide=True),
    Column("TASK", lambda task, _: _gist(task), flexible=True),
    Column("MESSAGE", lambda task, _: task.error_message or task.message, wide=True),
)

EVENTS: tuple[Column[TaskEvent], ...] = (
    Column("EVENT", lambda event, _: event.id, wide=True),
    Column("AT", lambda event, _: event.at[:19].replace("T", " ")),
    Column("TRY", lambda event, _: event.attempt or ""),
    Column("FROM", lambda event, _: event.source),
    Column("KIND", lambda event, _: event.kind, wide=True),
    Column("STATUS", lambda event, _: event.status, wide=True),
    Column("DONE", lambda event, _: _percent(event.progress)),
    Column("APPLIED", lambda event, _: "yes" if event.applied else "no", wide=True),
    Column("WHAT", lambda event, _: event.message or event.kind.replace("_", " "), flexible=True),
)

ARTIFACTS: tuple[Column[Artifact], ...] = (
    Column("SIZE", lambda artifact, _: size(artifact.size)),
    Column("CREATED", lambda artifact, now: ago(artifact.created_at, now)),
    Column("TRY", lambda artifact, _: artifact.attempt),
    Column("SHA-256", lambda artifact, _: artifact.checksum, wide=True),
    Column("NAME", lambda artifact, _: artifact.name, flexible=True),
)

QUESTIONS: tuple[Column[Question], ...] = (
    Column("ID", lambda question, _: question.id, short=True),
    Column("ASKED", lambda question, now: ago(question.asked_at, now)),
    Column("STATE", lambda question, _: "waits" if question.open else "answered" if question.answer else "too late"),
    Column("QUESTION", lambda question, _: question.question, flexible=True),
    Column("OPTIONS", lambda question, _: " / ".join(question.options), flexible=True),
    Column("ANSWER", lambda question, _: question.answer, flexible=True),
    Column("BY", lambda question, _: question.answered_by, wide=True),
    Column("UNTIL", lambda question, _: question.expires_at, wide=True),
)

WEBHOOKS: tuple[Column[Webhook], ...] = (
    Column("ID", lambda hook, _: hook.id, short=True),
    Column("URL", lambda hook, _: hook.url, flexible=True),
    Column("WAITING", lambda hook, _: hook.waiting),
    Column("DELIVERED", lambda hook, _: hook.delivered),
    Column("FAILED", lambda hook, _: hook.failed + hook.dropped),
    Column("LAST ERROR", lambda hook, _: hook.last_error or "", flexible=True),
    Column("EVENTS", lambda hook, _: " ".join(hook.events), wide=True),
    Column("FOR", lambda hook, _: hook.description or "", wide=True),
)

NODES: tuple[Column[Node], ...] = (
    Column("ID", lambda node, _: node.id, short=True),
    Column("NAME", lambda node, _: node.name, flexible=True),
    Column("STATUS", lambda node, _: node.status),
    Column("STATE", lambda node, _: node.state),
    Column("MODE", lambda node, _: node.mode),
    Column("SEEN", lambda node, now: ago(node.last_seen_at, now) or "never"),
    Column("RUNNER", lambda node, _: node.runner_version, wide=True),
    Column("GENERATION", lambda node, _: node.generation, wide=True),
    Column("SLOTS", lambda node, _: node.slots, wide=True),
    Column("HOST", lambda node, _: node.hostname, wide=True),
    Column("TASK", lambda node, _: (node.current_task_id or "")[:8]),
    Column("TAGS", lambda node, _: joined(node.tags), flexible=True),
)


def task_sheet(task: Task, now: datetime) -> dict[str, object]:
    """What `qb task show` says of a task; empty entries are left out."""
    target = {"node": task.target_node_id, "name": task.target_node_name, **(task.target_tags or {})}
    return {
        "Task": task.id,
        "Title": task.title,
        "Status": _state(task, now),
        "Progress": _percent(task.progress),
        "Message": task.message,
        "Error": task.error_message if task.error_message != task.message else None,
        "Result": task.result if task.result != task.message else None,
        "Node": task.assigned_node_name or task.assigned_node_id,
        "Target": joined({key: value for key, value in target.items() if value}),
        "Attempt": f"{task.attempt} of at most {task.max_attempts}" if task.attempt else None,
        "Agent said": task.agent_status,
        "Exit code": None if task.exit_code is None else str(task.exit_code),
        "Priority": task.priority or None,
        "Time limit": span(task.timeout_seconds) if task.timeout_seconds else None,
        "Not before": _moment(task.available_at, now),
        "Waits for": joined(task.depends_on),
        "Expires": _moment(task.expires_at, now) if task.status is TaskStatus.PENDING else None,
        "Cron": task.recurrence,
        "Schedule": task.schedule_id if task.schedule_id != task.id else None,
        "Group": task.group_id,
        "Retry of": task.retry_of,
        "Asked for by": task.parent_task_id,
        "Created": _moment(task.created_at, now),
        "Started": _moment(task.started_at, now),
        "Ended": _moment(task.completed_at, now),
        "Files": joined(task.files),
        "Image": task.image,
        "Environment": joined(task.env_names),
        "Output": f"{size(task.output_dropped)} past the limit were not kept" if task.output_dropped else None,
        "Cost": None if task.cost is None else f"${task.cost:.2f}",
        "Tokens": f"{task.tokens:,}" if task.tokens else None,
        "Transcript": task.crush_url,
        "Prompt": task.prompt,
    }


def node_sheet(node: Node, now: datetime) -> dict[str, object]:
    """What `qb node show` says of a node; empty entries are left out."""
    runner = node.runner_version or f"generation {node.generation}"
    return {
        "Node": node.name,
        "Id": node.id,
        "Host": node.hostname,
        "Status": str(node.status),
        "State": str(node.state),
        "Mode": str(node.mode),
        "Address": node.api_endpoint,
        "Dispatch": str(node.dispatch) if node.mode == "push" else None,
        "Machine": node.address,
        "Ansible": joined(node.ansible),
        "Seen": _moment(node.last_seen_at, now) or "never",
        "Task": node.current_task_id,
        "Runner": f"{runner}, wire {node.wire}",
        "System": joined([part for part in (node.os_type, node.arch) if part]),
        "Slots": node.slots,
        "Limits": "enforced" if node.limits else "not available",
        "Load": None if node.load is None else f"{node.load:.2f}",
        "Free disk": None if node.disk_free is None else size(node.disk_free),
        "Capabilities": joined(node.capabilities),
        "Tags": joined(node.tags),
        "Created": _moment(node.created_at, now),
    }


def size(count: float) -> str:
    """``512 B``, ``1.5 MiB``: bytes for reading."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _moment(moment: str | None, now: datetime) -> str:
    return f"{moment} ({ago(moment, now)})" if moment else ""
