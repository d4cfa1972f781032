"""Generation B: as A, but it registers in both modes, and the container's reporter gets the node's key."""

from typing import Any

import httpx2

from tests.conformance.container import Image
from tests.conformance.pull_runner import POLL_TIMEOUT, PullRunner, random_id
from tests.conformance.push_runner import PushRunner

IMAGE = Image(reads="JOB_ID")


class PullB(PullRunner):
    """`--mode pull`."""

    def heartbeat_body(self) -> dict[str, Any]:
        """A random node id, and no task even when busy."""
        return {"node_id": random_id(), "status": "busy" if self.busy else "idle", "current_task_id": None}


class PushB(PushRunner):
    """`--mode push`: registers with its own address at every start."""

    hands_key_to_container = True

    def __init__(self, *, image: Image = IMAGE, **more: Any) -> None:
        super().__init__(image=image, **more)
        self.node_id: str | None = None

    def register(self, url: str, registration_token: str) -> httpx2.Response:
        """POST /register; the key in the reply is the one that /run must carry."""
        body = {
            "hostname": self.name,
            "os_type": "linux",
            "name": self.name,
            "mode": "push",
            "api_endpoint": self.endpoint,
            "capabilities": [],
            "tags": {},
        }
        headers = {"X-Registration-Token": registration_token}
        answer = httpx2.post(f"{url}/register", json=body, headers=headers, timeout=POLL_TIMEOUT)
        if answer.status_code == 200:
            self.node_id, self.api_key = answer.json()["id"], answer.json()["api_key"]
        return answer
