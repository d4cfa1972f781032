"""What a question may cost: the bytes of its answer, those that SQLite holds at once, and time within a single step.

Datasette's time limit is looked at every thousand steps, and one step may be a function over all of a long text.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterable
from typing import Any

from datasette.views.base import DatasetteError

ANSWER = 64 << 20
"""Bytes of all rows of an answer, as they lie in memory."""
HELD = 256 << 20
"""Bytes that SQLite holds for all questions together."""
VALUE = 33 << 20
"""Bytes of one value: more than a transcript can bring, and SQL can ask for a gigabyte in a line."""
STEPS = 50
"""Steps between two looks at the time where readers write SQL or a pattern; those of pages are cheap ones."""
_SEARCHED, _TRIMMED = 1 << 33, 1 << 28
"""The length of a text times that of what is looked for in it: what SQLite's own functions do in about a second."""
_LONG = {
    ("instr", 2): _SEARCHED,
    ("replace", 3): _SEARCHED,
    **{(f"{side}trim", 2): _TRIMMED for side in ("", "l", "r")},
}


class Connection(sqlite3.Connection):
    """A connection that looks at the time as often as the question needs it."""

    steps = 0
    file: tuple[int, int] | None = None
    """Device and inode of what is open."""

    def set_progress_handler(self, handler: Callable[[], int | None] | None, n: int, /) -> None:
        """`n` is Datasette's number of steps."""
        super().set_progress_handler(handler, min(n, self.steps or n))


class Measured:
    """Makes the rows of one answer. Raises DatasetteError when they become too many bytes."""

    def __init__(self) -> None:
        self._bytes = 0

    def __call__(self, cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
        """One row."""
        self._bytes += sum(map(sys.getsizeof, values))
        if self._bytes > ANSWER:
            why = f"This answer is over {ANSWER >> 20} MiB: ask for fewer rows (_size=5), or for less of each"
            raise DatasetteError(why, title="The answer is too large", status=400)
        return sqlite3.Row(cursor, values)


def steps(asked: Iterable[str]) -> int:
    """How often to look at the time for a request with these names in its address; 0 for as often as Datasette does."""
    return STEPS if any(name in ("sql", "_where") or "__" in name for name in asked) else 0


def bound_functions(connection: sqlite3.Connection) -> None:
    """Refuse what would take SQLite's functions of two texts for minutes; what they answer is SQLite's own still."""
    plain = sqlite3.connect(":memory:", check_same_thread=False)
    plain.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE)
    for (name, count), most in _LONG.items():
        connection.create_function(name, count, _bounded(plain, name, count, most), deterministic=True)


def _bounded(plain: sqlite3.Connection, name: str, count: int, most: int) -> Callable[..., Any]:
    sql = f"SELECT {name}({', '.join('?' * count)})"

    def call(*values: Any) -> Any:
        try:
            if _length(values[0]) * _length(values[1]) <= most:
                return plain.execute(sql, values).fetchone()[0]
        except sqlite3.DataError:  # the answer is too long
            pass
        raise OverflowError  # SQLite says: string or blob too big

    return call


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 1
