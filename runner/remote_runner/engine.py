"""podman, over its socket: the dozen calls that the executor makes.

podman-py's `containers.create` knows neither ``timeout`` nor a log path of our own, so the container's
specification is posted through podman-py's API client as podman's REST API defines it.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from podman.api.client import APIClient, APIResponse
from podman.errors import APIError

CALL_SECONDS = 60.0
PULL_SECONDS = 3600.0
CREATED = frozenset({"created", "configured", "initialized"})
RUNNING = frozenset({"running", "paused", "stopping"})
NEEDED_CONTROLLERS = {"cpu", "memory", "pids"}
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


class EngineError(Exception):
    """podman answered with an error; the message is its own."""


class ImageMissing(EngineError):
    """The image is not on this machine."""


class EngineUnavailable(Exception):
    """podman's service does not answer."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What podman knows of a container. `seconds` is how long it ran."""

    id: str
    status: str
    exit_code: int
    oom_killed: bool
    seconds: float
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
    """Calls podman's service at `url`. Thread-safe. Raises EngineError or EngineUnavailable."""

    def __init__(self, url: str) -> None:
        self._api = APIClient(url, num_pools=4, max_pool_size=32)

    def close(self) -> None:
        """Drop the connections."""
        self._api.close()

    def limits_work(self) -> bool:
        """Whether memory, CPU and process limits can be expected to hold."""
        host = self._json("get", "/info").get("host", {})
        return set(host.get("cgroupControllers") or ()) >= NEEDED_CONTROLLERS

    def create(self, spec: dict[str, Any]) -> None:
        """Create a container from podman's own container specification. Raises ImageMissing."""
        answer = self._call("post", "/containers/create", data=json.dumps(spec))
        if answer.status_code == 404 or (answer.status_code == 500 and "image not known" in answer.text):
            raise ImageMissing(_message(answer))
        _check(answer)

    def start(self, name: str) -> None:
        """Start a created container; one that runs already is left as it is."""
        _check(self._call("post", f"/containers/{name}/start"))

    def state(self, name: str) -> ContainerState | None:
        """Inspect a container; None when there is none of that name."""
        answer = self._call("get", f"/containers/{name}/json")
        if answer.status_code == 404:
            return None
        _check(answer)
        found = answer.json()
        state = found["State"]
        return ContainerState(
            id=found["Id"],
            status=str(state["Status"]),
            exit_code=int(state["ExitCode"]),
            oom_killed=bool(state.get("OOMKilled")),
            seconds=_seconds(state["StartedAt"], state["FinishedAt"]),
            conmon_pid=int(state.get("ConmonPid") or 0),
            labels=found["Config"].get("Labels") or {},
        )

    def stop(self, name: str, grace: int) -> None:
        """TERM, then KILL when `grace` seconds have passed; a container that ended is left as it is."""
        params = {"timeout": grace}
        answer = self._call("post", f"/containers/{name}/stop", params=params, timeout=grace + 30)
        if answer.status_code != 404:
            _check(answer)

    def remove(self, name: str) -> None:
        """Remove a container and its anonymous volumes; one that is gone is fine."""
        params = {"force": True, "v": True, "timeout": 0}
        answer = self._call("delete", f"/containers/{name}", params=params)
        if answer.status_code != 404:
            _check(answer)

    def labelled(self, label: str) -> list[tuple[str, dict[str, str]]]:
        """Names and labels of all containers, running or not, with the label ``KEY=VALUE``."""
        params = {"all": True, "filters": json.dumps({"label": [label]})}
        found = self._json("get", "/containers/json", params=params) or ()
        return [(str(each["Names"][0]), each["Labels"] or {}) for each in found]

    def pull(self, image: str) -> None:
        """Fetch an image. Raises EngineError with podman's last words."""
        params = {"reference": image, "policy": "missing"}
        answer = self._call("post", "/images/pull", params=params, timeout=PULL_SECONDS)
        _check(answer)
        # The status is 200 before the pull begins; how it went is in the last lines of the answer.
        for line in reversed(answer.text.splitlines()):
            try:
                failure = json.loads(line).get("error")
            except (ValueError, AttributeError):
                continue
            if failure:
                raise EngineError(str(failure))

    def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = self._call(method, path, **options)
        _check(answer)
        return answer.json()

    def _call(self, method: str, path: str, *, timeout: float = CALL_SECONDS, **options: Any) -> APIResponse:
        try:
            return getattr(self._api, method)(path, timeout=timeout, **options)  # type: ignore[no-any-return]
        except (requests.RequestException, APIError, OSError) as error:
            raise EngineUnavailable(str(error)) from error


def _check(answer: APIResponse) -> None:
    if answer.status_code >= 400:
        raise EngineError(_message(answer))


def _message(answer: APIResponse) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"podman answered {answer.status_code}"


def _seconds(started: str, finished: str) -> float:
    return max(0.0, (_time(finished) - _time(started)).total_seconds())


def _time(text: str) -> datetime:
    # podman writes nanoseconds, which Python does not read
    return datetime.fromisoformat(_NANOSECONDS.sub(r"\1", text))
