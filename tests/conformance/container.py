"""What runs on an older node: a container, and the reporter that its image may hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

REPORTER_TIMEOUT = 30
LOGS_TIMEOUT = 120


@dataclass
class Reporter:
    """The program in a container that posts /status and /logs. It retries nothing and looks at no reply.

    `names` is the field that carries the task's id; `answers` keeps the statuses it got, for tests alone.
    """

    url: str
    names: str
    task_id: str
    api_key: str | None
    user_agent: str
    answers: list[int] = field(default_factory=list)

    def report(self, status: str, **more: Any) -> httpx2.Response:
        """POST /status."""
        return self._post("/status", {self.names: self.task_id, "status": status, **more}, REPORTER_TIMEOUT)

    def session(self, session: Mapping[str, Any]) -> httpx2.Response:
        """POST /logs."""
        return self._post("/logs", {self.names: self.task_id, "session": session}, LOGS_TIMEOUT)

    def _post(self, path: str, body: Mapping[str, Any], timeout: float) -> httpx2.Response:
        headers = {"User-Agent": self.user_agent} | ({"X-API-Key": self.api_key} if self.api_key else {})
        answer = httpx2.post(f"{self.url}{path}", json=body, headers=headers, timeout=timeout)
        self.answers.append(answer.status_code)
        return answer


@dataclass(frozen=True)
class Image:
    """A container image: which variable its reporter reads, and what the reporter sends. `reads` None: it has none."""

    reads: str | None
    names: str = "job_id"
    sends_key: bool = True
    user_agent: str = "python-requests/2.31.0"

    def reporter(self, env: Mapping[str, str]) -> Reporter | None:
        """The reporter as it starts in a container with this environment; None when it exits at once."""
        task_id = env.get(self.reads or "")
        if task_id is None:
            return None
        key = env.get("NODE_API_KEY") if self.sends_key else None
        return Reporter(env["ORCHESTRATOR_URL"], self.names, task_id, key, self.user_agent)


BARE = Image(reads=None)
"""An image without any reporter."""


@dataclass
class Container:
    """One container; its reporter is `agent`."""

    task_id: str
    prompt: str
    env: Mapping[str, str]
    agent: Reporter | None
    pid: int
    exit_code: int | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.exit_code is None
