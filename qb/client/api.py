"""QbClient: every call of the API as a typed method."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from qb import __version__
from qb.client.administration import Administration
from qb.client.dialogue import Dialogue
from qb.client.errors import BadAnswer, BadAssignment, ClientError
from qb.client.scheduling import SchedulingCalls
from qb.client.transport import ANSWER_LIMIT, CHUNK, Around, Transport, chunks, nothing_around, parsed
from qb.contract.fleet import Cleaned, DashboardStats, Health, Version
from qb.contract.logs import SessionUpload, StoredSession
from qb.contract.nodes import Heartbeat, HeartbeatReply, Node, NodeCreate, Register, Registered
from qb.contract.queries import MOST
from qb.contract.tasks import (
    Artifact,
    Assignment,
    OutputAccepted,
    OutputBatch,
    OutputLine,
    StatusReport,
    Task,
    TaskCreate,
    TaskCreated,
    TaskEvent,
    Upload,
)
from qb.contract.text import ID_CHARS
from qb.contract.webhooks import Webhook, WebhookCreate, WebhookCreated


class QbClient(SchedulingCalls):
    """Calls the API at `url`. Thread-safe. `timeout`, in seconds, bounds every wait for the server: for a connection,
    and for the next bytes of an answer; a whole answer may take longer.

    `ca_file` is for an orchestrator with a private CA, `answer_limit` the most bytes that an answer may have;
    `around` gives what encloses a request, from its route's name. Raises ClientError and nothing else.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        registration_token: str | None = None,
        timeout: float = 30.0,
        ca_file: str | None = None,
        answer_limit: int = ANSWER_LIMIT,
        user_agent: str = f"all-time-quarterback/{__version__}",
        around: Around = nothing_around,
    ) -> None:
        self.url = url.rstrip("/")
        self._wire = Transport(
            self.url,
            timeout=timeout,
            ca_file=ca_file,
            user_agent=user_agent,
            answer_limit=answer_limit,
            around=around,
        )
        self.admin = Administration(self._wire)
        self.dialogue = Dialogue(self._wire)
        if api_key:
            self._wire.identify("X-API-Key", api_key)
        if registration_token:
            self._wire.identify("X-Registration-Token", registration_token)

    def close(self) -> None:
        """Drop the connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def use_key(self, api_key: str) -> None:
        """Speak with `api_key` from now on (a node does so once it is registered)."""
        self._wire.identify("X-Registration-Token", None)
        self._wire.identify("X-API-Key", api_key)

    # nodes and agents

    def register(self, body: Register) -> Registered:
        """Join the fleet; the reply carries the node's key."""
        return self._wire.model(Registered, "register", body=body)

    def heartbeat(self, body: Heartbeat) -> HeartbeatReply:
        """Say what this node does; the reply says what to cancel and whether to drain."""
        return self._wire.model(HeartbeatReply, "heartbeat", body=body, timeout=10 + (body.wait or 0))

    def poll(self, *, wait: float = 0, held: str = "") -> Assignment | None:
        """Ask for a task, for at most `wait` seconds; `held` lists attempts as ``ID:ATTEMPT,...``.

        Raises BadAssignment for one that cannot be read and still names its task.
        """
        params = {"wait": f"{wait:g}", "held": held}
        answer = self._wire.json("poll", params=params, timeout=wait + 10)
        return None if answer is None else _assignment(answer)

    def report_status(self, body: StatusReport, *, timeout: float = 10) -> Task:
        """Report progress or a verdict."""
        return self._wire.model(Task, "report_status", body=body, timeout=timeout)

    def report_session(self, body: SessionUpload, *, timeout: float = 120) -> StoredSession:
        """Send a Crush session."""
        return self._wire.model(StoredSession, "report_session", body=body, timeout=timeout)

    def report_output(self, task_id: str, body: OutputBatch) -> int:
        """Send a batch of output; returns the `seq` up to which everything is durable."""
        answer = self._wire.model(OutputAccepted, "report_output", {"task_id": task_id}, body=body)
        return answer.accepted_to

    @contextmanager
    def download_file(self, name: str, *, task_id: str | None = None) -> Iterator[tuple[Iterator[bytes], str | None]]:
        """Yield the file's chunks and its announced SHA-256 (lower-case hex).

        `task_id` says whose file it is: a node with several tasks may hold several of one name.
        """
        params = {"task_id": task_id} if task_id else {}
        with self._wire.stream("download_file", {"name": name}, params=params) as response:
            yield chunks(response), response.headers.get("X-Checksum-SHA256")

    def put_artifact(
        self, task_id: str, name: str, body: BinaryIO, digest: str, *, attempt: int | None = None
    ) -> Artifact:
        """Send one artifact; `digest` is the value of the `Digest` header (``sha-256=BASE64``).

        A node says whose `attempt` it is; a task's token does so by itself.
        """
        answer = self._wire.json(
            "put_artifact",
            {"task_id": task_id, "name": name},
            params={} if attempt is None else {"attempt": str(attempt)},
            content=iter(lambda: body.read(CHUNK), b""),
            headers={"Digest": digest, "Content-Type": "application/octet-stream"},
            timeout=120,
        )
        return parsed(Artifact, answer)

    # tasks

    def create_task(self, body: TaskCreate, *, task_token: str | None = None) -> TaskCreated:
        """Create a task; its `warnings` say what older nodes cannot do for it.

        `task_token` is that of the running task that asks for it, and becomes its parent.
        """
        headers = {"X-Task-Token": task_token} if task_token else {}
        return self._wire.model(TaskCreated, "create_task", body=body, headers=headers)

    def tasks(self, *, limit: int = 200, **filters: str | list[str]) -> list[Task]:
        """At most `limit` tasks, newest first; the filters are those of qb.contract.queries.TaskFilters."""
        params = {"limit": str(min(limit, MOST)), **filters}
        return self._wire.pages(Task, "list_tasks", params=params, most=limit)

    def task(self, task_id: str) -> Task:
        """Show one task."""
        return self._wire.model(Task, "show_task", {"task_id": task_id})

    def cancel_task(self, task_id: str) -> Task:
        """Ask for a task to be cancelled."""
        return self._wire.model(Task, "cancel_task", {"task_id": task_id})

    def task_events(self, task_id: str) -> list[TaskEvent]:
        """The task's history, oldest first."""
        return self._wire.pages(TaskEvent, "task_events", {"task_id": task_id})

    def follow_events(self, task_id: str, *, after: int = 0) -> Iterator[TaskEvent]:
        """The task's history as it happens, from after the event `after` until the task has ended."""
        yield from self._wire.follow(TaskEvent, "task_events", task_id, after)

    def task_output(self, task_id: str, *, after: int = 0, limit: int = 1000) -> list[OutputLine]:
        """A page of the task's output, oldest first."""
        params = {"cursor": str(after), "limit": str(limit)}
        return self._wire.models(OutputLine, "task_output", {"task_id": task_id}, params=params)

    def follow_output(self, task_id: str, *, after: int = 0) -> Iterator[OutputLine]:
        """The task's output as it comes, until the task has ended."""
        yield from self._wire.follow(OutputLine, "task_output", task_id, after)

    def artifacts(self, task_id: str) -> list[Artifact]:
        """The files that a task left."""
        return self._wire.pages(Artifact, "list_artifacts", {"task_id": task_id})

    @contextmanager
    def get_artifact(self, task_id: str, name: str) -> Iterator[Iterator[bytes]]:
        """Yield the chunks of one artifact."""
        with self._wire.stream("get_artifact", {"task_id": task_id, "name": name}) as response:
            yield chunks(response)

    def upload(self, path: Path) -> Upload:
        """Send a file that tasks can then name."""
        try:
            path.name.encode()
            with path.open("rb") as body:
                answer = self._wire.json("upload", files={"file": (path.name, body)}, timeout=300)
        except OSError as error:
            raise ClientError(f"cannot read {path}: {error.strerror or error}") from error
        except UnicodeEncodeError as error:
            raise ClientError(f"cannot send {str(path)!r}: its name is not valid UTF-8; rename it") from error
        return parsed(Upload, answer)

    def logs(self, task_id: str) -> list[StoredSession]:
        """The task's Crush sessions with their messages."""
        return self._wire.models(StoredSession, "show_logs", {"task_id": task_id})

    # nodes

    def nodes(self) -> list[Node]:
        """Every registered node."""
        return self._wire.pages(Node, "list_nodes", params={"limit": str(MOST)})

    def node(self, node_id: str) -> Node:
        """One node."""
        return self._wire.model(Node, "show_node", {"node_id": node_id})

    def create_node(self, body: NodeCreate) -> Registered:
        """Register a node ahead of its first contact."""
        return self._wire.model(Registered, "create_node", body=body)

    def drain_node(self, node_id: str) -> Node:
        """Give the node no more tasks."""
        return self._wire.model(Node, "drain_node", {"node_id": node_id})

    def resume_node(self, node_id: str) -> Node:
        """Give the node tasks again."""
        return self._wire.model(Node, "resume_node", {"node_id": node_id})

    # operators: webhooks, cleaning up

    def create_webhook(self, body: WebhookCreate) -> WebhookCreated:
        """Tell an address of what happens to tasks; the reply carries the secret."""
        return self._wire.model(WebhookCreated, "create_webhook", body=body)

    def webhooks(self) -> list[Webhook]:
        """Every webhook."""
        return self._wire.pages(Webhook, "list_webhooks", params={"limit": MOST})

    def remove_webhook(self, webhook_id: str) -> Webhook:
        """Tell it nothing more."""
        return self._wire.model(Webhook, "remove_webhook", {"webhook_id": webhook_id})

    def clean_up(self, days: float) -> Cleaned:
        """Remove tasks that ended so many days ago or earlier."""
        return self._wire.model(Cleaned, "cleanup_tasks", params={"days": f"{days:g}"}, timeout=120)

    # everyone

    def health(self) -> Health:
        """Whether the orchestrator is up."""
        return self._wire.model(Health, "health", timeout=5)

    def version(self) -> Version:
        """What the orchestrator runs."""
        return self._wire.model(Version, "version", timeout=5)

    def stats(self) -> DashboardStats:
        """The fleet in eight numbers."""
        return self._wire.model(DashboardStats, "dashboard_stats")


def _assignment(answer: Any) -> Assignment:
    try:
        return parsed(Assignment, answer)
    except BadAnswer as error:
        known = answer if isinstance(answer, dict) else {}
        task_id, attempt = known.get("task_id"), known.get("attempt", 1)
        if isinstance(task_id, str) and 0 < len(task_id) <= ID_CHARS and isinstance(attempt, int) and attempt > 0:
            raise BadAssignment(str(error), task_id, attempt) from error
        raise
