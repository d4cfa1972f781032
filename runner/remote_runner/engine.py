"""podman, over its socket: what the executor does with containers.

podman-py's `containers.create` knows neither ``timeout`` nor a log path of our own, so the container's
specification is posted through podman-py's API client as podman's REST API defines it.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remote_runner.podman_api import EngineError, PodmanApi, check, message_of

CREATED = frozenset({"created", "configured", "initialized"})
RUNNING = frozenset({"running", "paused", "stopping"})
NEEDED_CONTROLLERS = {"cpu", "memory", "pids"}
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


class ImageMissing(EngineError):
    """The image is not on this machine."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What podman knows of a container. `seconds` is how long it ran, `began` when (a POSIX time, 0 for never)."""

    id: str
    status: str
    exit_code: int
    oom_killed: bool
    seconds: float
    began: float
    pid: int
    conmon_pid: int
    labels: dict[str, str]

    @property
    def created(self) -> bool:
        """Whether it never ran."""
        return self.status in CREATED

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in RUNNING


class Engine:
    """Containers behind podman's `api`. Thread-safe. Raises EngineError or EngineUnavailable."""

    def __init__(self, api: PodmanApi) -> None:
        self._api = api

    def limits_work(self) -> bool:
        """Whether memory, CPU and process limits can be expected to hold."""
        host = self._api.json("podman.info", "get", "/info").get("host", {})
        return set(host.get("cgroupControllers") or ()) >= NEEDED_CONTROLLERS

    def create(self, spec: dict[str, Any]) -> None:
        """Create a container from podman's own container specification. Raises ImageMissing."""
        answer = self._api.call("podman.create", "post", "/containers/create", data=json.dumps(spec))
        if answer.status_code == 404 or (answer.status_code == 500 and "image not known" in answer.text):
            raise ImageMissing(message_of(answer))
        check(answer)

    def init(self, name: str) -> None:
        """Make a created container's namespaces; its own program does not run yet. Doing it again is fine."""
        check(self._api.call("podman.init", "post", f"/containers/{name}/init"))

    def start(self, name: str) -> None:
        """Start a created container; one that runs already is left as it is."""
        check(self._api.call("podman.start", "post", f"/containers/{name}/start"))

    def state(self, name: str) -> ContainerState | None:
        """Inspect a container; None when there is none of that name."""
        answer = self._api.call("podman.inspect", "get", f"/containers/{name}/json")
        if answer.status_code == 404:
            return None
        check(answer)
        found = answer.json()
        state = found["State"]
        return ContainerState(
            id=found["Id"],
            status=str(state["Status"]),
            exit_code=int(state["ExitCode"]),
            oom_killed=bool(state.get("OOMKilled")),
            seconds=_seconds(state["StartedAt"], state["FinishedAt"]),
            began=max(0.0, _time(state["StartedAt"]).timestamp()),
            pid=int(state.get("Pid") or 0),
            conmon_pid=int(state.get("ConmonPid") or 0),
            labels=found["Config"].get("Labels") or {},
        )

    def stop(self, name: str, grace: int) -> None:
        """TERM, then KILL when `grace` seconds have passed; a container that ended is left as it is."""
        params = {"timeout": grace}
        path = f"/containers/{name}/stop"
        answer = self._api.call("podman.stop", "post", path, params=params, timeout=grace + 30)
        if answer.status_code != 404:
            check(answer)

    def remove(self, name: str) -> None:
        """Remove a container and its anonymous volumes; one that is gone is fine."""
        # releases of podman differ in what they call this
        params = {"force": True, "v": True, "volumes": True, "timeout": 0}
        answer = self._api.call("podman.remove", "delete", f"/containers/{name}", params=params)
        if answer.status_code != 404:
            check(answer)

    def labelled(self, label: str) -> list[tuple[str, dict[str, str]]]:
        """Names and labels of all containers, running or not, with the label ``KEY=VALUE``."""
        params = {"all": True, "filters": json.dumps({"label": [label]})}
        found = self._api.json("podman.list", "get", "/containers/json", params=params) or ()
        return [(str(each["Names"][0]), each["Labels"] or {}) for each in found]


def _seconds(started: str, finished: str) -> float:
    return max(0.0, (_time(finished) - _time(started)).total_seconds())


def _time(text: str) -> datetime:
    # podman writes nanoseconds, which Python does not read
    return datetime.fromisoformat(_NANOSECONDS.sub(r"\1", text))
