"""docs/victoria.md does what it says: its Containerfile builds, and what its configuration names answers there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qb.demo import image as demo
from qb.demo.checkout import root
from qb.demo.command import attempt, run
from tests.mcp_status.test_stdio import ANSWER_TIMEOUT, running

pytestmark = pytest.mark.podman

IMAGE = f"localhost/qb-victoria-page-{os.getpid()}:latest"
"""Of this process alone: another worker may have some of these tests, and removes its image when it is through."""

PAGE = root() / "docs" / "victoria.md"
CA = Path(demo.IN_CONTAINER_CA)
SERVERS_OWN = {"falcon", "gunicorn", "uvloop", "orjson", "sqlite-utils", "datasette", "ansible-core", "podman"}


def blocks() -> list[str]:
    """The indented blocks of the page."""
    found = re.findall(r"(?:^(?: {4}.*)?\n)+", PAGE.read_text(), re.MULTILINE)
    return [re.sub(r"^ {4}", "", each, flags=re.MULTILINE).strip() for each in found if each.strip()]


def block(word: str) -> str:
    """The one that holds `word`."""
    [found] = [each for each in blocks() if word in each]
    return found


@pytest.fixture(scope="module")
def image(podman_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's Containerfile as it stands, on a base that is here and with the wheel of this checkout."""
    base = demo.build(print)
    folder = tmp_path_factory.mktemp("victoria")
    (folder / "wheels").mkdir()
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*wheel, "--wheel-dir", str(folder / "wheels"), str(root())], timeout=180, what="building the wheel")
    options = ["[global]", "find-links = /wheels", *_index()]
    (folder / "pip.conf").write_text("\n".join(options) + "\n")
    (folder / "Containerfile").write_text(block("# Containerfile"))
    command = ["podman", "build", "--quiet", "--no-cache", "--tag", IMAGE, "--from", base]
    mounts = [f"{folder}/wheels:/wheels:ro", f"{folder}/pip.conf:/etc/pip.conf:ro"]
    if CA.is_file():
        mounts.append(f"{CA}:{CA}:ro")
    command += [part for each in mounts for part in ("--volume", each)]
    run([*command, "--file", str(folder / "Containerfile"), str(folder)], timeout=600, what="building the page's image")
    yield IMAGE
    attempt(["podman", "rmi", "--force", IMAGE], timeout=60)


def _index() -> Iterator[str]:
    if CA.is_file():
        yield f"cert = {CA}"
    for name, option in (("PIP_INDEX_URL", "index-url"), ("PIP_EXTRA_INDEX_URL", "extra-index-url")):
        if os.environ.get(name):
            yield f"{option} = {os.environ[name]}"


def inside(image: str, *command: str) -> list[str]:
    """What runs a command in the image, with nothing around it."""
    return ["podman", "run", "--rm", "-i", "--network", "none", "--entrypoint", command[0], image, *command[1:]]


def done(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def started_by(configuration: dict[str, Any]) -> list[str]:
    """What the block of a client's configuration starts."""
    [server] = next(iter(configuration.values())).values()
    return [server["command"], *server["args"]]


@pytest.mark.parametrize("table", ['"mcp"', '"mcpServers"'])
def test_what_the_configuration_starts_answers(image: str, tmp_path: Path, table: str) -> None:
    command = inside(image, *started_by(json.loads(block(table))))
    with running(dict(os.environ), tmp_path / "err", command=command) as agent:
        assert agent.begin()["result"]["serverInfo"]["name"] == "all-time-quarterback"
        agent.send("tools/list", id=2)
        tools = {tool["name"] for tool in agent.receive()["result"]["tools"]}
        assert agent.process.stdin
        agent.process.stdin.close()
        assert agent.process.wait(ANSWER_TIMEOUT) == 0
    named = set(re.findall(r"^\| `(\w+)\(", PAGE.read_text(), re.MULTILINE))
    assert tools == named, "the page's table has every tool"


def test_it_brings_what_it_needs_and_nothing_of_the_servers(image: str) -> None:
    python = started_by(json.loads(block('"mcp"')))[0]
    listed = done(inside(image, python, "-m", "pip", "list", "--format", "json"))
    names = {each["name"].lower() for each in json.loads(listed.stdout)}
    assert {"all-time-quarterback", "mcp", "httpx2", "pydantic"} <= names
    assert not names & SERVERS_OWN
    found = "import mcp, mcp_status.stdio; print(mcp.__cached__, mcp_status.stdio.__cached__)"
    compiled = done(inside(image, python, "-c", found)).stdout.split()
    assert len(compiled) == 2
    assert done(inside(image, "/bin/ls", *compiled)).returncode == 0, "it starts quickly because it is compiled"


def test_check_says_what_is_missing(image: str) -> None:
    command = started_by(json.loads(block('"mcp"')))
    checked = done(inside(image, *command, "--check"))
    assert checked.returncode == 1
    for name in ("ORCHESTRATOR_URL", "TASK_ID", "NODE_API_KEY"):
        assert name in checked.stdout
