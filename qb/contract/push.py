"""Push on the wire: what the control plane and a push node's runner say to each other."""

import hmac
from enum import StrEnum

from pydantic import BaseModel

from qb.contract.nodes import Held
from qb.contract.tasks import Assignment

RUN_LIMIT = 4 << 20
"""Bytes of a POST /run at most: the longest prompt, a hundred files and a full environment fit well."""

SIGNATURE = "X-Signature"


def signature(node_key: str, body: bytes) -> str:
    """The value of X-Signature: HMAC-SHA256 of the raw body with the node's key, in lower-case hex."""
    return hmac.digest(node_key.encode(), body, "sha256").hex()


class Activity(StrEnum):
    """What a push node does, in GET /status."""

    IDLE = "idle"
    RUNNING = "running"
    COMPLETED = "completed"


class PushHealth(BaseModel):
    """Reply to a push node's GET /health."""

    status: str
    mode: str = "push"
    os_type: str | None = None
    container_runtime: str | None = None
    name: str | None = None


class Started(BaseModel):
    """Reply to POST /run."""

    status: str = "started"
    task_id: str | None = None
    pid: int | None = None


class Handed(BaseModel):
    """What Ansible places on a node for `remote_runner run-once`: an assignment, and the node's key to report with."""

    api_key: str
    assignment: Assignment


class PushStatus(BaseModel):
    """Reply to a push node's GET /status; a wire-2 node lists what it holds."""

    status: Activity
    pid: int | None = None
    exit_code: int | None = None
    running: list[Held] | None = None
