"""What a failed test shows besides its assertion: both logs, and what became of each task and its containers."""

import subprocess
from typing import Any

from qb.client import ClientError
from tests.e2e.agent import Node

LOG_LINES = 200
SECONDS = 30


def show(server: Any, node: Node) -> None:
    """Print it. Must come before the containers are removed."""
    _headed("runner", (node.folder / "runner.log").read_text().splitlines()[-LOG_LINES:])
    _headed("server", [str(entry) for entry in list(server.log)[-LOG_LINES:]])
    try:
        with server.client() as client:
            for task in client.tasks():
                events = [f"{each.at} {each.source} {each.kind} {each.message}" for each in client.task_events(task.id)]
                _headed(f"task {task.id}, {task.status}, attempt {task.attempt}", events)
                _containers(node, task.id)
    except ClientError as error:
        _headed("tasks", [f"the server cannot be asked: {error}"])


def _containers(node: Node, task_id: str) -> None:
    for container in node.containers(task_id):
        _headed(f"container {container}", _said(node, "inspect", "--format", "{{json .State}}", container))
        _headed("its output", _said(node, "logs", "--timestamps", "--tail", "50", container))
        _headed("its processes", _said(node, "top", container, "pid", "etime", "state", "args"))
        network = _said(node, "inspect", "--format", "{{json .NetworkSettings}}", container)
        _headed("its network", network)


def _said(node: Node, *arguments: str) -> list[str]:
    try:
        done = subprocess.run(
            ["podman", *arguments],
            env=node.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"podman {arguments[0]} gave no answer within {SECONDS} s"]
    return done.stdout.splitlines()


def _headed(what: str, lines: list[str]) -> None:
    print(f"--- {what}")
    print("\n".join(lines))
