"""Generation A: a preset key, no registration; the reporter in the container sends `job_id` and no key."""

from typing import Any

from tests.conformance.container import Image
from tests.conformance.pull_runner import PullRunner, random_id
from tests.conformance.push_runner import PushRunner

IMAGE = Image(reads="JOB_ID", sends_key=False)


class PullA(PullRunner):
    """`--mode pull --api-key KEY`: the key that POST /nodes answered."""

    registers = False

    def heartbeat_body(self) -> dict[str, Any]:
        """A random node id, and no task even when busy."""
        return {"node_id": random_id(), "status": "busy" if self.busy else "idle", "current_task_id": None}

    def secrets(self) -> dict[str, str]:
        """None: the reporter has no key."""
        return {}


class PushA(PushRunner):
    """`--mode push --api-key KEY`; an admin told the control plane where it listens (POST /nodes)."""

    def __init__(self, api_key: str | None = None, *, image: Image = IMAGE, **more: Any) -> None:
        super().__init__(image=image, **more)
        self.api_key = api_key
