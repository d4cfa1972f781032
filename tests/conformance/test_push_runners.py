"""The push runners that the suite plays answer as wire.md says they do."""

import httpx2
import pytest

from tests.conformance.generation_a import PushA
from tests.conformance.generation_b import PushB
from tests.conformance.push_runner import PushRunner, listening


def run(runner: PushRunner, key: str = "node-key", **body: str) -> httpx2.Response:
    """POST /run."""
    return httpx2.post(f"{runner.endpoint}/run", json=body, headers={"X-API-Key": key}, timeout=5)


def status(runner: PushRunner) -> dict[str, object]:
    """GET /status."""
    found: dict[str, object] = httpx2.get(f"{runner.endpoint}/status", timeout=5).json()
    return found


@pytest.mark.parametrize("generation", [PushA, PushB])
def test_a_push_runner_starts_one_container_and_tells_its_end(generation: type[PushRunner]) -> None:
    with listening(generation(orchestrator_url="http://qb.example")) as runner:
        runner.api_key = "node-key"
        assert httpx2.get(f"{runner.endpoint}/health", timeout=5).json()["mode"] == "push"
        assert status(runner) == {"status": "idle"}
        started = run(runner, task_id="t1", prompt="work")
        assert (started.status_code, started.json()["task_id"]) == (200, "t1")
        assert status(runner) == {"status": "running", "pid": started.json()["pid"]}
        assert run(runner, task_id="t2", prompt="work").status_code == 409
        runner.ends(3)
        assert status(runner) == {"status": "completed", "pid": started.json()["pid"], "exit_code": 3}
        assert run(runner, task_id="t2", prompt="work").status_code == 200


def test_a_push_runner_refuses_a_wrong_key_and_a_body_without_a_prompt() -> None:
    with listening(PushA("node-key")) as runner:
        assert run(runner, "another", task_id="t1", prompt="work").status_code == 401
        assert run(runner, task_id="t1").status_code == 400
        assert httpx2.post(f"{runner.endpoint}/cancel", json={}, timeout=5).status_code == 404
        assert runner.container is None
