"""When a task may ask for another: never in a loop, not too deep, not too many."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A task above the one that is asked for: its parent, the parent's parent, and so on."""

    id: str
    prompt: str


def loop(prompt: str, ancestors: Iterable[Ancestor]) -> Ancestor | None:
    """The ancestor that was asked for the same: its agent would delegate it again. Case and white space don't count."""
    same = _gist(prompt)
    return next((each for each in ancestors if _gist(each.prompt) == same), None)


def _gist(prompt: str) -> str:
    return " ".join(prompt.split()).casefold()
