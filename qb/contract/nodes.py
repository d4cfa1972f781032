"""Nodes on the wire: registration, heartbeats and what the API says of a node."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from qb.contract.addresses import Address, AnsibleVariables, Endpoint, web_address
from qb.contract.states import Generation, NodeDispatch, NodeMode, NodeState, NodeStatus
from qb.contract.text import Id, Name, Tags, Text

MAX_SLOTS = 256


def _old(value: Generation) -> Generation:
    if value is Generation.WIRE2:
        raise ValueError("a wire2 runner says so itself when it registers: leave it out")
    return value


OldGeneration = Annotated[Generation, AfterValidator(_old)]


def _absent_when_null(value: object) -> object:
    return value or {}


class Register(BaseModel):
    """Body of POST /register. A name that exists is the same node: same id, new key."""

    hostname: Name
    os_type: Text = "unknown"
    name: Name | None = None
    mode: NodeMode = NodeMode.PULL
    api_endpoint: Text | None = None
    capabilities: list[Name] | None = None
    tags: Tags | None = None
    wire: int = Field(default=1, ge=1, le=1000)
    runner_version: Text | None = None
    slots: int = Field(default=1, ge=1, le=MAX_SLOTS)
    arch: Text | None = None
    boot_id: Text | None = None
    limits: bool = False

    @field_validator("api_endpoint")
    @classmethod
    def _callable(cls, value: str | None, info: ValidationInfo) -> str | None:
        # who polls may say what it likes there: nobody calls it
        return value if value is None or info.data.get("mode") is not NodeMode.PUSH else web_address(value)


class NodeCreate(BaseModel):
    """Body of POST /nodes: register a node ahead of its first contact.

    `generation` is what the operator knows of an older client; its requests may yet prove it wrong.
    """

    name: Name
    generation: OldGeneration = Generation.A
    mode: NodeMode = NodeMode.PULL
    api_endpoint: Endpoint | None = None
    capabilities: Annotated[list[Name], BeforeValidator(lambda value: value or [])] = []
    tags: Annotated[Tags, BeforeValidator(_absent_when_null)] = {}
    slots: int = Field(default=1, ge=1, le=MAX_SLOTS)
    dispatch: NodeDispatch = NodeDispatch.HTTP
    address: Address | None = None
    ansible: AnsibleVariables = {}


class NodeChange(BaseModel):
    """Body of PATCH /nodes/{id}: what is absent stays; a null `api_endpoint` or `address` takes it away.

    `takeover_allowed` is the admin's leave for the next registration under the node's name: any token that matches
    will do, once. `generation` is what the operator knows of an older client, as when it is registered ahead.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    mode: NodeMode = NodeMode.PULL
    state: NodeState = NodeState.ACTIVE
    api_endpoint: Endpoint | None = None
    capabilities: list[Name] = Field(default=[], max_length=64)
    tags: Tags = {}
    slots: int = Field(default=1, ge=1, le=MAX_SLOTS)
    dispatch: NodeDispatch = NodeDispatch.HTTP
    address: Address | None = None
    ansible: AnsibleVariables = {}
    takeover_allowed: bool = False
    generation: OldGeneration = Generation.A


class Held(BaseModel):
    """One attempt that a node holds, or is told to cancel."""

    task_id: Id
    attempt: int = Field(ge=1)


class Heartbeat(BaseModel):
    """Body of POST /nodes/heartbeat. The node is who the key says; `node_id` is ignored.

    `wait` (wire 2): the heartbeat counts at once, and its answer may come so many seconds later, or as soon as it says
    something that the last one did not.
    """

    node_id: Text | None = None
    status: NodeStatus = NodeStatus.IDLE
    current_task_id: Text | None = None
    running: list[Held] | None = Field(default=None, max_length=MAX_SLOTS)
    load: float | None = Field(default=None, ge=0)
    disk_free: int | None = Field(default=None, ge=0)
    wait: float | None = Field(default=None, ge=0, le=60)


class Node(BaseModel):
    """A node as the API shows it. Times are ISO 8601 UTC.

    `address` and `ansible` are how Ansible reaches the machine; `dispatch` is what brings a push node its tasks.
    """

    id: str
    name: str
    hostname: str
    os_type: str
    mode: NodeMode
    api_endpoint: str | None = None
    dispatch: NodeDispatch = NodeDispatch.HTTP
    address: str | None = None
    ansible: dict[str, str | int | bool] = {}
    status: NodeStatus
    state: NodeState
    capabilities: list[str]
    tags: dict[str, str]
    wire: int
    generation: Generation
    runner_version: str | None = None
    arch: str | None = None
    slots: int
    limits: bool
    boot_id: str | None = None
    load: float | None = None
    disk_free: int | None = None
    current_task_id: str | None = None
    takeover_allowed: bool = False
    created_at: str
    registered_at: str | None = None
    last_seen_at: str | None = None


class Registered(Node):
    """Reply to POST /register and POST /nodes: the node, and its key this once."""

    api_key: str


class HeartbeatReply(Node):
    """Reply to a heartbeat; the last three fields are for wire 2."""

    cancel: list[Held] = []
    drain: bool = False
    lease_seconds: int = 60
