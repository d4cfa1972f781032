"""The room that file contents may take: refused before it is used up, exact while files arrive."""

from qb.domain.errors import StorageFull, TooLarge
from qb.domain.quotas import Quotas, human


class Room:
    """Counts bytes that are kept and bytes that arrive. Used on the event loop's thread."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._arriving = 0
        self.used = 0
        """Bytes of all blobs that are kept."""

    def check(self, size: int | None) -> None:
        """Refuse an announced size before a byte is taken. Raises TooLarge, StorageFull."""
        if size is not None:
            self._check(size, size)

    def arrives(self) -> "Arrival":
        """A file begins to arrive."""
        return Arrival(self)

    def _check(self, file: int, more: int) -> None:
        if file > self._quotas.file:
            raise TooLarge(
                f"the file is over {human(self._quotas.file)}: split it, or put it where the agent can get it"
            )
        if self.used + self._arriving + more > self._quotas.total:
            raise StorageFull(
                f"the {human(self._quotas.total)} that all files together may take are used up: nothing was stored; "
                "clean up old tasks, or serve with a larger --storage-limit"
            )


class Arrival:
    """One file that arrives; `size` is how much of it is here. Leave it when it is kept or given up."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    def add(self, more: int) -> None:
        """Take `more` bytes in. Raises TooLarge, StorageFull."""
        self._room._check(self.size + more, more)
        self._room._arriving += more
        self.size += more

    def leave(self) -> None:
        """Count it no longer as arriving."""
        self._room._arriving -= self.size
        self.size = 0
