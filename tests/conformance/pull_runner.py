"""What older pull runners share: the loop poll, start, heartbeat, sleep, and time-outs; nothing is retried."""

import hashlib
import itertools
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2

from tests.conformance.container import BARE, Container, Image

POLL_TIMEOUT = 30
HEARTBEAT_TIMEOUT = 10
STATUS_TIMEOUT = 10
FILES_TIMEOUT = 60
INTERVAL = 30
"""The default of `--poll-interval`, in seconds."""

Plays = Callable[[Container], int | None]


def keeps_running(_: Container) -> None:
    """An agent that has only just begun when the runner goes on."""


class PullRunner:
    """One older runner in pull mode; a subclass says what its generation does differently.

    `plays` is what the agent does as soon as its container starts; what it returns is the exit code of a container
    that has ended by then, None of one that runs on. The sleep of the loop is the test's own: it turns the clock.
    """

    registers = True
    variable = "JOB_ID"
    user_agent = "python-requests/2.31.0"

    def __init__(
        self,
        url: str,
        *,
        name: str,
        registration_token: str | None = None,
        api_key: str | None = None,
        image: Image = BARE,
        plays: Plays = keeps_running,
    ) -> None:
        self.url = url
        self.name = name
        self.registration_token = registration_token
        self.api_key = api_key
        self.image = image
        self.plays = plays
        self.node_id: str | None = None
        self.container: Container | None = None
        self.started: list[str] = []
        self.files: dict[str, bytes] = {}
        self._pids = itertools.count(7000)

    # the loop

    def start(self) -> None:
        """The process starts. It has stored nothing: it registers anew (B to E), and knows of no container."""
        self.container = None
        if self.registers:
            headers = {"X-Registration-Token": self.registration_token or "", "User-Agent": self.user_agent}
            body = self.registration()
            answer = httpx2.post(f"{self.url}/register", json=body, headers=headers, timeout=POLL_TIMEOUT)
            answer.raise_for_status()
            node = answer.json()
            self.node_id, self.api_key = node["id"], node["api_key"]

    def turn(self, *, reply_lost: bool = False, heartbeat_lost: bool = False) -> None:
        """One turn of the loop up to its sleep; `reply_lost` is the poll's reply that never arrives."""
        if not self.busy:
            assignment = self.poll()
            if assignment is not None and not reply_lost:
                self.start_container(assignment)
        if not heartbeat_lost:
            self.heartbeat()

    def poll(self) -> dict[str, Any] | None:
        """GET /tasks/pending."""
        answer = self.call("GET", "/tasks/pending", timeout=POLL_TIMEOUT)
        answer.raise_for_status()
        found: dict[str, Any] | None = answer.json()
        return found

    def heartbeat(self) -> httpx2.Response:
        """POST /nodes/heartbeat; the reply is ignored."""
        return self.call("POST", "/nodes/heartbeat", self.heartbeat_body(), timeout=HEARTBEAT_TIMEOUT)

    @property
    def busy(self) -> bool:
        """Whether a container runs."""
        return self.container is not None and self.container.running

    # the container

    def start_container(self, assignment: dict[str, Any]) -> None:
        """Fetch the files and start; fields that the generation does not know are not looked at."""
        for name, checksum in zip(assignment.get("files") or (), assignment.get("file_checksums") or (), strict=True):
            answer = self.call("GET", f"/files/{quote(name, safe='')}", timeout=FILES_TIMEOUT)
            answer.raise_for_status()
            assert hashlib.sha256(answer.content).hexdigest() == checksum == answer.headers["X-Checksum-SHA256"]
            self.files[name] = answer.content
        task_id = assignment["task_id"]
        env = {self.variable: task_id, "ORCHESTRATOR_URL": assignment["orchestrator_url"], **self.secrets()}
        self.container = Container(task_id, assignment["prompt"], env, self.image.reporter(env), next(self._pids))
        self.started.append(task_id)
        self.on_start(self.container)
        code = self.plays(self.container)
        if code is not None:
            self.ends(code)

    def ends(self, exit_code: int = 0) -> None:
        """The container ends, and the runner sees it."""
        assert self.container is not None
        self.container.exit_code = exit_code
        self.on_exit(self.container)

    def killed(self) -> Container | None:
        """SIGKILL to the runner: it knows nothing any more, and the container runs on without it."""
        survivor, self.container = self.container, None
        return survivor

    def terminated(self) -> None:
        """SIGTERM to the runner: the container is killed with it, and no verdict is sent."""
        self.container = None

    # what generations differ in

    def registration(self) -> dict[str, Any]:
        """Body of POST /register."""
        return {
            "hostname": self.name,
            "os_type": "linux",
            "name": self.name,
            "mode": "pull",
            "capabilities": [],
            "tags": {},
        }

    def heartbeat_body(self) -> dict[str, Any]:
        """Body of POST /nodes/heartbeat."""
        raise NotImplementedError

    def secrets(self) -> dict[str, str]:
        """What the container gets of the runner's secrets."""
        return {"NODE_API_KEY": self.api_key or ""}

    def on_start(self, container: Container) -> None:
        """What the runner itself sends when a container starts."""

    def on_exit(self, container: Container) -> None:
        """What the runner itself sends when a container has ended."""

    # HTTP

    def call(self, method: str, path: str, body: Any = None, *, timeout: float) -> httpx2.Response:
        """One request with the node's key; no redirect is followed."""
        headers = {"X-API-Key": self.api_key or "", "User-Agent": self.user_agent}
        return httpx2.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=timeout)


def random_id() -> str:
    """What A and B send for a `node_id`."""
    return str(uuid.uuid4())
