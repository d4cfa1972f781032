"""What a container is given: podman's specification for one attempt."""

import os
from pathlib import Path
from typing import Any

from qb.contract.tasks import Assignment, Limits
from remote_runner.config import Config
from remote_runner.records import Key
from remote_runner.workspace import INSIDE, Workspace

LABEL_RUNNER, LABEL_TASK, LABEL_ATTEMPT = "qb.runner", "qb.task", "qb.attempt"
CA_INSIDE = "/run/qb/ca.pem"
LOG_SIZE_FACTOR = 4
CPU_PERIOD = 100_000


def container_spec(
    assignment: Assignment, key: Key, config: Config, workspace: Workspace, runner_id: str, log: Path
) -> dict[str, Any]:
    """The specification that podman's REST API takes; `log` is where conmon writes the output.

    Raises OSError when the env file cannot be read.
    """
    spec: dict[str, Any] = {
        "name": key.container,
        "image": assignment.image or config.container_image,
        "command": ["--accept-license", "--task", assignment.prompt],
        "env": _environment(assignment, key, config, workspace),
        "labels": {LABEL_RUNNER: runner_id, LABEL_TASK: key.task_id, LABEL_ATTEMPT: str(key.attempt)},
        "mounts": _mounts(config, workspace.home),
        "log_configuration": {
            "driver": "k8s-file",
            "path": str(log),
            "size": config.spool_limit * LOG_SIZE_FACTOR,
        },
        "conmon_pid_file": str(log.with_suffix(".pid")),
        # conmon keeps this time even while the runner is dead
        "timeout": assignment.timeout_seconds or 0,
    }
    if config.network:
        spec |= network_spec(config.network)
    if assignment.limits:
        spec["resource_limits"] = _resources(assignment.limits)
    return spec


def network_spec(network: str) -> dict[str, Any]:
    """The specification of `network`, written as for `podman run --network`: a mode with options, or a name."""
    mode, _, options = network.partition(":")
    if mode == "host":
        return {"netns": {"nsmode": "host"}}
    if mode in ("slirp4netns", "pasta"):
        given = {"network_options": {mode: options.split(",")}} if options else {}
        return {"netns": {"nsmode": mode}, **given}
    return {"netns": {"nsmode": "bridge"}, "Networks": {network: {}}}


def _mounts(config: Config, home: Path) -> list[dict[str, Any]]:
    mounts = [{"type": "bind", "source": str(home), "destination": INSIDE, "options": ["rbind", "rw"]}]
    if config.ca_file:
        mounts.append(
            {"type": "bind", "source": str(config.ca_file), "destination": CA_INSIDE, "options": ["rbind", "ro"]}
        )
    return mounts


def _environment(assignment: Assignment, key: Key, config: Config, workspace: Workspace) -> dict[str, str]:
    env = _env_file(config.env_file) if config.env_file else {}
    env |= assignment.env or {}
    env |= {
        "ORCHESTRATOR_URL": assignment.agent_url or assignment.orchestrator_url,
        "JOB_ID": key.task_id,
        "TASK_ID": key.task_id,
        "TASK_OUTPUT_DIR": workspace.inside(key.short, "out"),
        # the agent gets its task's token and never the node's key
        "NODE_API_KEY": assignment.task_token or "",
    }
    if assignment.files:
        env["TASK_FILES_DIR"] = workspace.inside(key.short, "files")
    if assignment.crush_server_url:
        env["CRUSH_SERVER_URL"] = assignment.crush_server_url
    if config.ca_file:
        env["QB_CA_FILE"] = CA_INSIDE
    return env


def _env_file(path: Path) -> dict[str, str]:
    """Lines of KEY=VALUE; a bare KEY takes the runner's own value, as podman's --env-file does."""
    env = {}
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if equals:
            env[name.strip()] = value
        elif name in os.environ:
            env[name] = os.environ[name]
    return env


def _resources(limits: Limits) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if limits.memory_mb:
        resources["memory"] = {"limit": limits.memory_mb << 20}
    if limits.cpus:
        resources["cpu"] = {"quota": int(limits.cpus * CPU_PERIOD), "period": CPU_PERIOD}
    if limits.pids:
        resources["pids"] = {"limit": limits.pids}
    return resources
