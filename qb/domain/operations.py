"""How a control plane is run, beside what it serves."""

from dataclasses import dataclass, field
from pathlib import Path

from qb.domain.destinations import Policy
from qb.domain.retention import Retention


@dataclass(frozen=True, slots=True)
class Operations:
    """Settings of an operator. `webhook_networks`: private ones that webhooks may lead to.

    `replicate`: where Litestream sends every change, None for nowhere; `log_requests`: tell of each request, not of
    refusals and failures alone; `dispatch_user` and `dispatch_launcher`: whom Ansible is on the nodes that it brings
    tasks to, and what it runs there, None for what the role `runner` has set up.
    """

    metrics_key_file: Path | None = None
    webhook_networks: Policy = field(default_factory=Policy)
    retention: Retention = field(default_factory=Retention)
    replicate: str | None = None
    log_requests: bool = False
    dispatch_user: str | None = None
    dispatch_launcher: str | None = None
