"""Answers about the whole control plane: health, version, dashboard figures."""

from pydantic import BaseModel


class Health(BaseModel):
    """Reply to GET /health and its kin. `checks` names what was looked at and what was found."""

    status: str
    version: str
    checks: dict[str, str] = {}


class Version(BaseModel):
    """Reply to GET /version. Clients older than `wire_min` are not understood."""

    version: str
    wire: int
    wire_min: int = 1


class Cleaned(BaseModel):
    """Reply to POST /tasks/cleanup. `more`: there was too much for one request, send it again."""

    tasks: int
    more: bool


class DashboardStats(BaseModel):
    """Reply to GET /dashboard/stats. Today begins at midnight UTC."""

    total_nodes: int
    active_nodes: int
    idle_nodes: int
    offline_nodes: int
    pending_tasks: int
    running_tasks: int
    completed_tasks_today: int
    failed_tasks_today: int
