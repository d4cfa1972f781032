"""Generation D: pull only; `task_id`; runner and reporter both tell the end, with one key."""

from typing import Any

from tests.conformance.container import Container, Image
from tests.conformance.pull_runner import STATUS_TIMEOUT, PullRunner

IMAGE = Image(reads="TASK_ID", names="task_id", user_agent="victoria-terminal/1.0")


class PullD(PullRunner):
    """Names its last task even when it is idle again."""

    variable = "TASK_ID"
    user_agent = "python-httpx/0.27.0"

    def heartbeat_body(self) -> dict[str, Any]:
        """The right node id, and the last task."""
        last = self.container.task_id if self.container else None
        return {"node_id": self.node_id, "status": "busy" if self.busy else "idle", "current_task_id": last}

    def on_exit(self, container: Container) -> None:
        """The runner's own verdict, by exit code."""
        status = "success" if container.exit_code == 0 else "error"
        body = {"task_id": container.task_id, "status": status, "message": f"exit code {container.exit_code}"}
        self.call("POST", "/status", body, timeout=STATUS_TIMEOUT)
