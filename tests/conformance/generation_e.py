"""Generation E: pull only; no reporter: the runner posts `running`, then the session log, then the end."""

from typing import Any

from tests.conformance.container import LOGS_TIMEOUT, Container
from tests.conformance.pull_runner import STATUS_TIMEOUT, PullRunner


class PullE(PullRunner):
    """`session` is what it finds in Crush's database when the container has ended, be it another task's."""

    variable = "TASK_ID"
    user_agent = "python-httpx/0.27.0"
    session: dict[str, Any] | None = None

    def heartbeat_body(self) -> dict[str, Any]:
        """The right node id; the task while it runs."""
        running = self.container.task_id if self.container is not None and self.busy else None
        return {"node_id": self.node_id, "status": "busy" if self.busy else "idle", "current_task_id": running}

    def on_start(self, container: Container) -> None:
        """`running`, before any heartbeat."""
        self.call("POST", "/status", {"task_id": container.task_id, "status": "running"}, timeout=STATUS_TIMEOUT)

    def on_exit(self, container: Container) -> None:
        """The session, then the verdict by exit code."""
        if self.session is not None:
            body = {"task_id": container.task_id, "session": self.session}
            self.call("POST", "/logs", body, timeout=LOGS_TIMEOUT)
        status = "success" if container.exit_code == 0 else "error"
        verdict = {"task_id": container.task_id, "status": status, "message": f"exit code {container.exit_code}"}
        self.call("POST", "/status", verdict, timeout=STATUS_TIMEOUT)
