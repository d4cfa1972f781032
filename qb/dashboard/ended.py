"""Sessions that were signed out of before their time: whoever copied such a cookie cannot go on with it."""

import hashlib
import time
from contextlib import suppress

from qb.dashboard.place import Place, write


class Ended:
    """One file for each, named by the cookie's hash, for as long as the cookie would be good."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder / "ended"

    def __contains__(self, cookie: str) -> bool:
        """Whether the session of that cookie was signed out of."""
        return (self._folder / _name(cookie)).exists()

    def add(self, cookie: str, *, good_seconds: int) -> None:
        """End it, and forget those whose cookies are too old by themselves. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another who signs out forgets it, too
                if path.stat().st_mtime < time.time() - good_seconds:
                    path.unlink()
        write(self._folder / _name(cookie), "")


def _name(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
