"""podman's socket: one call, its deadline, its errors. What is called is in engine.py and images.py."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import requests
from podman.api.client import APIClient, APIResponse
from podman.errors import APIError

from remote_runner.failpoints import around

CALL_SECONDS = 60.0


class EngineError(Exception):
    """podman answered with an error; the message is its own."""


class EngineUnavailable(Exception):
    """podman's service does not answer."""


class PodmanApi:
    """Calls podman's service at `url`. Thread-safe. Raises EngineError or EngineUnavailable."""

    def __init__(self, url: str) -> None:
        self._api = APIClient(url, num_pools=4, max_pool_size=32)

    def close(self) -> None:
        """Drop the connections."""
        self._api.close()

    def json(self, step: str, method: str, path: str, **options: Any) -> Any:
        """The decoded answer."""
        answer = self.call(step, method, path, **options)
        check(answer)
        return answer.json()

    def call(self, step: str, method: str, path: str, *, timeout: float = CALL_SECONDS, **options: Any) -> APIResponse:
        """The answer, whatever its status; `step` names the call's failpoints."""
        with around(step), _reached():
            return getattr(self._api, method)(path, timeout=timeout, **options)  # type: ignore[no-any-return]

    def lines(self, step: str, method: str, path: str, *, timeout: float, **options: Any) -> Iterator[bytes]:
        """The lines of an answer that podman writes as it goes; `timeout` bounds the silence between them."""
        with around(step), _reached():
            answer = getattr(self._api, method)(path, timeout=timeout, stream=True, **options)
            with closing(answer):
                check(answer)
                yield from answer.iter_lines()


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, APIError, OSError) as error:
        raise EngineUnavailable(str(error)) from error


def check(answer: APIResponse) -> None:
    """Raise EngineError for a status of failure."""
    if answer.status_code >= 400:
        raise EngineError(message_of(answer))


def message_of(answer: APIResponse) -> str:
    """podman's own words on a failure."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"podman answered {answer.status_code}"
