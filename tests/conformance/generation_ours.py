"""Wire 2: what our own runner and reporter send, as bare requests."""

from typing import Any

import httpx2

from tests.conformance.container import Container, Image
from tests.conformance.pull_runner import HEARTBEAT_TIMEOUT, POLL_TIMEOUT, STATUS_TIMEOUT, PullRunner

IMAGE = Image(reads="TASK_ID", names="task_id", user_agent="all-time-quarterback/0")


class PullOurs(PullRunner):
    """Attempts have numbers, a start needs a permit, a cancel is obeyed; the container gets the task's own token."""

    variable = "TASK_ID"
    user_agent = "all-time-quarterback/0"
    attempt = 0
    token = ""

    def registration(self) -> dict[str, Any]:
        """With what wire 2 adds."""
        return super().registration() | {"wire": 2, "slots": 1, "limits": True, "runner_version": "0"}

    def poll(self) -> dict[str, Any] | None:
        """Lists what it holds, which is nothing: it polls only when idle."""
        answer = self.call("GET", "/tasks/pending?wait=0&held=", timeout=POLL_TIMEOUT)
        answer.raise_for_status()
        found: dict[str, Any] | None = answer.json()
        if found is not None:
            self.attempt, self.token = found["attempt"], found["task_token"]
        return found

    def start_container(self, assignment: dict[str, Any]) -> None:
        """Starts only with the permit."""
        if self._report(assignment["task_id"], "running").status_code == 200:
            super().start_container(assignment)

    def heartbeat_body(self) -> dict[str, Any]:
        """Names its attempts."""
        running = []
        if self.container is not None and self.busy:
            running = [{"task_id": self.container.task_id, "attempt": self.attempt}]
        return {"node_id": self.node_id, "status": "busy" if self.busy else "idle", "running": running}

    def heartbeat(self) -> httpx2.Response:
        """Obeys what the reply says."""
        answer = self.call("POST", "/nodes/heartbeat", self.heartbeat_body(), timeout=HEARTBEAT_TIMEOUT)
        if self.container is not None and answer.json()["cancel"]:
            self.container.exit_code = 137
            self._report(self.container.task_id, "error", reason="cancelled_by_operator", exit_code=137)
        return answer

    def on_exit(self, container: Container) -> None:
        """The verdict, with the exit code."""
        status = "success" if container.exit_code == 0 else "error"
        self._report(container.task_id, status, exit_code=container.exit_code)

    def secrets(self) -> dict[str, str]:
        """The task token, never the node's key."""
        return {"NODE_API_KEY": self.token}

    def _report(self, task_id: str, status: str, **more: Any) -> httpx2.Response:
        body = {"task_id": task_id, "status": status, "attempt": self.attempt, **more}
        return self.call("POST", "/status", body, timeout=STATUS_TIMEOUT)
