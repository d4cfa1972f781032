"""Images on this node: whether one is there, how it is fetched, and what it says of itself."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_runner.choices import PullPolicy
from remote_runner.podman_api import EngineError, PodmanApi, check

SILENCE_SECONDS = 600.0
"""A registry that sends nothing for so long is given up."""

_PINNED = re.compile(r".@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageDetails:
    """What matters of an image: the home folder of its user, None where only a running container could tell."""

    home: str | None


class Images:
    """Images behind podman's `api`. Thread-safe. Raises EngineError or EngineUnavailable."""

    def __init__(self, api: PodmanApi, policy: PullPolicy, auth_file: Path | None) -> None:
        self._api = api
        self._policy = policy
        self._auth_file = auth_file
        self._known: dict[str, ImageDetails] = {}

    def ready(self, image: str, say: Callable[[str], None]) -> ImageDetails:
        """Have the image as the policy wants it; `say` hears how a fetch goes, and may raise to end it."""
        known = self._known.get(image) or self._look(image)
        if self._policy is PullPolicy.NEVER and known is None:
            raise EngineError(f"{image} is not on this node, and its pull policy is never")
        if known is None or self._policy is PullPolicy.ALWAYS:
            self._pull(image, say)
            known = self._look(image)
            if known is None:
                raise EngineError(f"{image} was fetched, and podman does not find it")
        if len(self._known) < 1000:
            self._known[image] = known
        return known

    def forget(self, image: str) -> None:
        """The image turned out to be gone."""
        self._known.pop(image, None)

    def _look(self, image: str) -> ImageDetails | None:
        answer = self._api.call("podman.image", "get", f"/images/{image}/json")
        if answer.status_code == 404:
            return None
        check(answer)
        return ImageDetails(_home(answer.json().get("Config") or {}))

    def _pull(self, image: str, say: Callable[[str], None]) -> None:
        say(f"fetching the image {image}")
        # the reference may be known and the tag have moved: what is here already is not fetched again
        params = {"reference": image, "policy": "always"}
        headers = credentials(self._auth_file) if self._auth_file else None
        failure = ""
        # The status is 200 before the pull begins; how it went is in the lines.
        for line in self._api.lines(
            "podman.pull", "post", "/images/pull", params=params, headers=headers, timeout=SILENCE_SECONDS
        ):
            try:
                word = json.loads(line)
                failure = str(word.get("error") or failure)
                told = str(word.get("stream") or "").strip()
            except (ValueError, AttributeError):
                continue
            if told:
                say(f"fetching the image {image}: {told}")
        if failure:
            raise EngineError(f"cannot fetch {image}: {failure}")


def is_pinned(image: str) -> bool:
    """Whether the reference names its content by digest."""
    return bool(_PINNED.search(image))


def credentials(auth_file: Path) -> dict[str, str]:
    """The header that carries what `podman login` keeps in an auth file. Raises EngineError."""
    try:
        known = json.loads(auth_file.read_text())["auths"]
        entries = {registry: _login(entry["auth"]) for registry, entry in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise EngineError(f"cannot read the registry logins in {auth_file}: {error}") from error
    return {"X-Registry-Config": base64.urlsafe_b64encode(json.dumps(entries).encode()).decode()}


def _login(auth: str) -> dict[str, str]:
    user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
    return {"username": user, "password": password}


def _home(config: dict[str, Any]) -> str | None:
    for setting in config.get("Env") or ():
        name, _, value = str(setting).partition("=")
        if name == "HOME" and value.startswith("/"):
            return value
    user = str(config.get("User") or "root").partition(":")[0]
    return "/root" if user in ("root", "0") else None
