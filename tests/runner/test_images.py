"""Images: when they are fetched, from whom, with which login, and how the task tells of it."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_runner.images import credentials, is_pinned
from remote_runner.podman_api import EngineError
from tests.runner.registry import LOGIN, Registry, serving

IMAGE = "localhost/qb-runner-test:1"


@pytest.fixture
def registry(tmp_path: Path, runner: Any, podman_env: dict[str, str]) -> Iterator[Registry]:
    with serving(IMAGE, tmp_path / "image", podman_env) as served:
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{served.address}"\ninsecure = true\n')
        runner.env = runner.env | {"CONTAINERS_REGISTRIES_CONF": str(conf)}
        yield served


def told(orchestrator: Any, task_id: str) -> list[str]:
    return [each.message for each in orchestrator.reports if each.task_id == task_id and each.message]


@pytest.mark.podman
def test_a_missing_image_is_fetched_and_the_task_tells(orchestrator: Any, runner: Any, registry: Registry) -> None:
    runner.start()
    task_id = orchestrator.assign("echo fetched", image=registry.image)
    assert orchestrator.verdict(task_id).status == "success"
    assert orchestrator.text(task_id) == "fetched\n"
    assert any("fetching the image" in message for message in told(orchestrator, task_id))
    ours = [each for each in orchestrator.reports if each.task_id == task_id]
    assert [each.preparing for each in ours] == [True] * (len(ours) - 2) + [False] * 2, "all of it before the permit"
    asked = len(registry.asked)
    again = orchestrator.assign("echo there", image=registry.image)
    assert orchestrator.verdict(again).status == "success"
    assert len(registry.asked) == asked, "what is here is not asked for again"


@pytest.mark.podman
def test_the_policy_always_asks_each_time(orchestrator: Any, runner: Any, registry: Registry) -> None:
    runner.start("--pull", "always")
    for _ in range(2):
        asked = len(registry.asked)
        assert orchestrator.verdict(orchestrator.assign("exit 0", image=registry.image)).status == "success"
        assert len(registry.asked) > asked


@pytest.mark.podman
def test_the_policy_never_fetches_nothing(orchestrator: Any, runner: Any, registry: Registry) -> None:
    runner.start("--pull", "never")
    verdict = orchestrator.verdict(orchestrator.assign("exit 0", image=registry.image))
    assert verdict.reason == "launch_failed"
    assert "its pull policy is never" in verdict.message
    assert registry.asked == []


@pytest.mark.podman
def test_a_digest_is_honoured_and_another_is_not_run(orchestrator: Any, runner: Any, registry: Registry) -> None:
    runner.start("--require-digest", "yes")
    assert orchestrator.verdict(orchestrator.assign("exit 0", image=registry.pinned)).status == "success"
    wrong = registry.pinned[:-4] + "0000"
    assert orchestrator.verdict(orchestrator.assign("exit 0", image=wrong), 60).reason == "launch_failed"
    by_tag = orchestrator.verdict(orchestrator.assign("exit 0", image=registry.image))
    assert by_tag.reason == "refused_by_node"
    assert "named by digest" in by_tag.message


@pytest.mark.podman
def test_a_login_comes_from_the_auth_file(orchestrator: Any, runner: Any, registry: Registry, tmp_path: Path) -> None:
    registry.locked = True
    auth = tmp_path / "auth.json"
    entry = {"auth": base64.b64encode(LOGIN.encode()).decode()}
    auth.write_text(json.dumps({"auths": {registry.address: entry}}))
    runner.start()
    refused = orchestrator.verdict(orchestrator.assign("exit 0", image=registry.image), 60)
    assert refused.reason == "launch_failed"
    runner.end()
    runner.start("--registry-auth-file", str(auth))
    assert orchestrator.verdict(orchestrator.assign("exit 0", image=registry.image)).status == "success"
    assert LOGIN.partition(":")[2] not in runner.logged()


@pytest.mark.podman
def test_an_image_removed_behind_the_runners_back_is_fetched_again(
    orchestrator: Any, runner: Any, registry: Registry, until: Any
) -> None:
    runner.start()
    assert orchestrator.verdict(orchestrator.assign("exit 0", image=registry.image)).status == "success"
    until(lambda: not runner.containers(), what="the removal of the container")
    subprocess.run(["podman", "rmi", registry.image], env=runner.env, check=True, capture_output=True, timeout=60)
    assert orchestrator.verdict(orchestrator.assign("exit 0", image=registry.image)).status == "success"


def test_what_is_pinned() -> None:
    digest = "sha256:" + "a" * 64
    assert is_pinned(f"ghcr.io/x/y@{digest}")
    assert not is_pinned("ghcr.io/x/y:latest")
    assert not is_pinned(f"ghcr.io/x/y@{digest[:-1]}")


@pytest.mark.parametrize("text", ["", "[]", '{"auths": {"x": {}}}', '{"auths": {"x": {"auth": "%"}}}'])
def test_an_auth_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(text)
    with pytest.raises(EngineError, match=r"auth\.json"):
        credentials(path)
