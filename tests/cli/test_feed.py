"""The thread that reads a stream, and what its reader hears of its end."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from qb.cli.feed import Feed
from qb.client import ClientError


@dataclass
class Entry:
    """One entry of a stream."""

    id: int


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_hears_of_an_end_that_nobody_thought_of() -> None:
    def source(after: int) -> Iterator[Entry]:
        yield Entry(after + 1)
        raise RuntimeError("a bug")

    with closing(Feed(source)) as feed:
        found = []
        with pytest.raises(ClientError, match="broke off"):
            for waits, entry in enumerate(feed):
                found += [entry] if entry is not None else []
                assert waits < 50, "it waits for ever"
    feed._thread.join(5)
    assert found == [Entry(1)]
