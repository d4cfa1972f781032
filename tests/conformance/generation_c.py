"""Generation C: pull only; `job_id`; heartbeats with the right `node_id`."""

from typing import Any

from tests.conformance.container import Image
from tests.conformance.pull_runner import PullRunner

IMAGE = Image(reads="JOB_ID")


class PullC(PullRunner):
    """Names its task while it runs."""

    def heartbeat_body(self) -> dict[str, Any]:
        """The right node id; the task while it runs."""
        running = self.container.task_id if self.container is not None and self.busy else None
        return {"node_id": self.node_id, "status": "busy" if self.busy else "idle", "current_task_id": running}
