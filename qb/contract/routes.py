"""The route table: every method and path of the API, who may call it, and what goes in and out.

The app serves a route only with a row here, and the row names its callers: what is undeclared is denied.
`served=False` marks a route that the contract has and the app does not answer yet.
"""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from qb.contract.audit import AuditEntry
from qb.contract.fleet import Cleaned, DashboardStats, Health, Version
from qb.contract.keys import Key, KeyCreate, KeyCreated, Token, TokenCreate, TokenCreated
from qb.contract.logs import SessionUpload, StoredSession
from qb.contract.nodes import Heartbeat, HeartbeatReply, Node, NodeChange, NodeCreate, Register, Registered
from qb.contract.queries import (
    ArtifactPut,
    AuditFilters,
    ChangeHeaders,
    Cleanup,
    CreateHeaders,
    DigestHeaders,
    Download,
    DownloadHeaders,
    KeyRotation,
    NamePage,
    NewestPage,
    NodeRemoval,
    NodeRotation,
    Poll,
    ReadHeaders,
    RecordPage,
    ResumeHeaders,
    TaskFilters,
)
from qb.contract.scheduling import Group, Schedule, Why
from qb.contract.scopes import Scope
from qb.contract.tasks import (
    Artifact,
    Assignment,
    GroupCreate,
    OutputAccepted,
    OutputBatch,
    OutputLine,
    StatusReport,
    Task,
    TaskCreate,
    TaskEvent,
    Upload,
)
from qb.contract.webhooks import Webhook, WebhookCreate, WebhookCreated


class Caller(StrEnum):
    """Kinds of credential. Which one a request carries decides what it may call."""

    ANYONE = "anyone"
    ADMIN = "admin"
    SCOPED = "scoped"
    NODE = "node"
    AGENT = "agent"
    REGISTRATION = "registration"


class Media(StrEnum):
    """What a body is."""

    JSON = "application/json"
    BYTES = "application/octet-stream"
    FORM = "multipart/form-data"
    TEXT = "text/plain"
    HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `query` and `headers` are read with these models, into `req.context.query` and `req.context.headers`.

    `many`: the reply is a JSON array. `nullable`: it may be null. `etag`: it has an ETag. `streams`: it is a stream of
    server-sent events when the caller asks for that. `also`: statuses beside `status` and the errors that every
    such route may answer. A scoped key needs `scope`; where the path names a task, it must be the key's own.
    """

    name: str
    method: str
    path: str
    callers: frozenset[Caller]
    request: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    status: int = 200
    many: bool = False
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    takes: Media = Media.JSON
    gives: Media = Media.JSON
    streams: bool = False
    nullable: bool = False
    etag: bool = False
    also: frozenset[int] = frozenset()
    served: bool = True
    scope: Scope | None = None


def _callers(*callers: Caller) -> frozenset[Caller]:
    return frozenset(callers)


def _codes(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


ANYONE = _callers(Caller.ANYONE)
ADMIN = _callers(Caller.ADMIN)
CLIENTS = _callers(Caller.ADMIN, Caller.SCOPED)
NODE = _callers(Caller.NODE)
WORKERS = _callers(Caller.NODE, Caller.AGENT)
READ, CREATE, CANCEL, FILES = Scope.TASKS_READ, Scope.TASKS_CREATE, Scope.TASKS_CANCEL, Scope.FILES
OWN_TASK = CLIENTS | {Caller.AGENT}
JOINING = _callers(Caller.REGISTRATION, Caller.NODE)

ROUTES: tuple[Route, ...] = (
    # nodes and agents
    Route("register", "POST", "/register", JOINING, Register, Registered),
    Route("heartbeat", "POST", "/nodes/heartbeat", NODE, Heartbeat, HeartbeatReply),
    Route("poll", "GET", "/tasks/pending", NODE, None, Assignment, query=Poll, nullable=True),
    Route(
        "download_file",
        "GET",
        "/files/{name}",
        NODE,
        query=Download,
        headers=DownloadHeaders,
        gives=Media.BYTES,
        also=_codes(206, 304, 416),
    ),
    Route("report_status", "POST", "/status", WORKERS, StatusReport, Task),
    Route("report_session", "POST", "/logs", WORKERS, SessionUpload, StoredSession),
    Route("report_output", "POST", "/tasks/{task_id}/output", NODE, OutputBatch, OutputAccepted),
    Route(
        "put_artifact",
        "PUT",
        "/tasks/{task_id}/artifacts/{name}",
        WORKERS,
        None,
        Artifact,
        status=201,
        query=ArtifactPut,
        headers=DigestHeaders,
        takes=Media.BYTES,
    ),
    # operators and external systems: tasks
    Route(
        "create_task",
        "POST",
        "/tasks",
        CLIENTS,
        TaskCreate,
        Task,
        status=201,
        headers=CreateHeaders,
        also=_codes(200),
        scope=CREATE,
    ),
    Route("list_tasks", "GET", "/tasks", CLIENTS, None, Task, many=True, query=TaskFilters, scope=READ),
    Route(
        "show_task",
        "GET",
        "/tasks/{task_id}",
        OWN_TASK,
        None,
        Task,
        headers=ReadHeaders,
        also=_codes(304),
        etag=True,
        scope=READ,
    ),
    Route("cancel_task", "DELETE", "/tasks/{task_id}", CLIENTS, None, Task, scope=CANCEL),
    Route(
        "task_events",
        "GET",
        "/tasks/{task_id}/events",
        CLIENTS,
        None,
        TaskEvent,
        many=True,
        query=RecordPage,
        headers=ResumeHeaders,
        streams=True,
        scope=READ,
    ),
    Route(
        "task_output",
        "GET",
        "/tasks/{task_id}/output",
        CLIENTS,
        None,
        OutputLine,
        many=True,
        query=RecordPage,
        headers=ResumeHeaders,
        streams=True,
        scope=READ,
    ),
    Route(
        "list_artifacts",
        "GET",
        "/tasks/{task_id}/artifacts",
        CLIENTS,
        None,
        Artifact,
        many=True,
        query=NamePage,
        scope=READ,
    ),
    Route(
        "get_artifact",
        "GET",
        "/tasks/{task_id}/artifacts/{name}",
        CLIENTS,
        headers=DownloadHeaders,
        gives=Media.BYTES,
        also=_codes(206, 304, 416),
        scope=READ,
    ),
    Route("retry_task", "POST", "/tasks/{task_id}/retry", CLIENTS, None, Task, status=201, scope=CREATE),
    Route("why_task", "GET", "/tasks/{task_id}/why", CLIENTS, None, Why, scope=READ),
    Route("cleanup_tasks", "POST", "/tasks/cleanup", ADMIN, None, Cleaned, query=Cleanup),
    Route("upload", "POST", "/upload", CLIENTS, None, Upload, status=201, takes=Media.FORM, scope=FILES),
    Route("show_logs", "GET", "/logs/{task_id}", CLIENTS, None, StoredSession, many=True, scope=READ),
    # operators and external systems: groups and schedules; a schedule is named by the task that it was created as
    Route("create_group", "POST", "/groups", CLIENTS, GroupCreate, Group, status=201, scope=CREATE),
    Route("list_groups", "GET", "/groups", CLIENTS, None, Group, many=True, query=NewestPage, scope=READ),
    Route("show_group", "GET", "/groups/{group_id}", CLIENTS, None, Group, scope=READ),
    Route("cancel_group", "DELETE", "/groups/{group_id}", CLIENTS, None, Group, scope=CANCEL),
    Route("list_schedules", "GET", "/schedules", CLIENTS, None, Schedule, many=True, scope=READ),
    Route("show_schedule", "GET", "/schedules/{task_id}", CLIENTS, None, Schedule, scope=READ),
    Route("remove_schedule", "DELETE", "/schedules/{task_id}", CLIENTS, None, Schedule, scope=CANCEL),
    # operators: nodes
    Route("list_nodes", "GET", "/nodes", ADMIN, None, Node, many=True, query=NamePage),
    Route("create_node", "POST", "/nodes", ADMIN, NodeCreate, Registered, status=201),
    Route("show_node", "GET", "/nodes/{node_id}", ADMIN, None, Node, etag=True),
    Route(
        "change_node",
        "PATCH",
        "/nodes/{node_id}",
        ADMIN,
        NodeChange,
        Node,
        headers=ChangeHeaders,
        etag=True,
        also=_codes(412),
    ),
    Route("remove_node", "DELETE", "/nodes/{node_id}", ADMIN, None, Node, query=NodeRemoval),
    Route("rotate_node_key", "POST", "/nodes/{node_id}/rotate", ADMIN, None, Registered, query=NodeRotation),
    Route("drain_node", "POST", "/nodes/{node_id}/drain", ADMIN, None, Node),
    Route("resume_node", "POST", "/nodes/{node_id}/resume", ADMIN, None, Node),
    # operators: credentials
    Route("create_key", "POST", "/keys", ADMIN, KeyCreate, KeyCreated, status=201),
    Route("list_keys", "GET", "/keys", ADMIN, None, Key, many=True),
    Route("audit_keys", "GET", "/keys/audit", ADMIN, None, AuditEntry, many=True, query=AuditFilters),
    Route("show_key", "GET", "/keys/{key_id}", ADMIN, None, Key),
    Route("remove_key", "DELETE", "/keys/{key_id}", ADMIN, None, Key),
    Route("rotate_key", "POST", "/keys/{key_id}/rotate", ADMIN, None, KeyCreated, query=KeyRotation),
    Route("revoke_key", "POST", "/keys/{key_id}/revoke", ADMIN, None, Key),
    Route("create_token", "POST", "/registration-tokens", ADMIN, TokenCreate, TokenCreated, status=201),
    Route("list_tokens", "GET", "/registration-tokens", ADMIN, None, Token, many=True),
    Route("remove_token", "DELETE", "/registration-tokens/{token_id}", ADMIN, None, Token),
    # operators: webhooks
    Route("create_webhook", "POST", "/webhooks", ADMIN, WebhookCreate, WebhookCreated, status=201),
    Route("list_webhooks", "GET", "/webhooks", ADMIN, None, Webhook, many=True),
    Route("remove_webhook", "DELETE", "/webhooks/{webhook_id}", ADMIN, None, Webhook),
    # everyone
    Route("health", "GET", "/health", ANYONE, None, Health),
    Route("healthz", "GET", "/healthz", ANYONE, None, Health),
    Route("readyz", "GET", "/readyz", ANYONE, None, Health, also=_codes(503)),
    Route("version", "GET", "/version", ANYONE, None, Version),
    Route("openapi", "GET", "/openapi.json", ANYONE),
    Route("docs", "GET", "/docs", ANYONE, gives=Media.HTML),
    Route("metrics", "GET", "/metrics", ANYONE, gives=Media.TEXT, also=_codes(401)),
    Route("dashboard", "GET", "/dashboard", ANYONE, status=302, also=_codes(404)),
    Route("dashboard_stats", "GET", "/dashboard/stats", ADMIN, None, DashboardStats),
)

BY_NAME = {route.name: route for route in ROUTES}
